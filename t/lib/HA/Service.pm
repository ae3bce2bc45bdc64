# SPDX-License-Identifier: Apache-2.0
# Owns what t/app/ensure's services have written down of their lives: who lived when, by the
# monotonic clock that all hosts of a test share. Does not start them: zerod does.
package HA::Service;
use v5.36;

use HA::Log;
use HA::Test;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);

# A service writes every 10 ms; it may have lived so long after its last line.
use constant LOOK_MS => 10;

# Options: serves => sub($id), what a service runs: a program and its arguments.
sub new($class, $t, $name, %opt)
{
    my $dir = $t->dir($name);
    mkdir $dir or die "$dir: $!\n";
    # What has been read is not kept: a long run has a line each 10 ms.
    return bless {%opt, t => $t, dir => $dir, log => HA::Log->new("$dir/life"), by_key => {}, lives => []}, $class;
}

# Keys of config.json for these ids.
sub config($self, @ids)
{
    my $program = HA::Test::top_srcdir() . '/t/app/ensure';
    my $serves = $self->{serves} // sub ($id) { () };
    return map {("ensure-active-$_" => [$program, $self->{dir}, "$_", 'active', $serves->($_)], "ensure-passive-$_" => [$program, $self->{dir}, "$_", 'passive'])} @ids;
}

sub now_ms() { return int(clock_gettime(CLOCK_MONOTONIC) * 1000) }

sub lines($self, $file)
{
    open(my $in, '<', "$self->{dir}/$file") or return;
    chomp(my @lines = <$in>);
    return @lines;
}

# Each service that has lived, in the order of their births: {id, epoch, pid, from, to}, in ms.
sub lives($self)
{
    my ($by_key, $lives, $log) = @$self{qw(by_key lives log)};
    my $lines = $log->lines;
    for my $line (splice @$lines) {
        my ($at, $id, $epoch, $pid) = split / /, $line;
        # A long run may see a pid again.
        my $life = $by_key->{"$pid $id $epoch"};
        push @$lives, $life = $by_key->{"$pid $id $epoch"} = {id => $id, epoch => $epoch, pid => $pid, from => $at} if !$life;
        $life->{to} = $at;
    }
    return @$lives;
}

# Whether one is gone, were it but for its parent to be told.
sub is_dead($life)
{
    return HA::Log->new("/proc/$life->{pid}/stat")->text !~ /\) [^XZ] /;
}

# The ids of those that live now.
sub alive($self)
{
    my $now = now_ms();
    return sort map {$_->{id}} grep {$_->{to} > $now - 10 * LOOK_MS && kill 0, $_->{pid}} $self->lives;
}

# Processes that are such a service now, of this id or of all. Numbers of processes come again, so it goes
# by their names, too.
sub pids($self, $id = undef)
{
    my %id = map {$_->{pid} => $_->{id}} $self->lives;
    return grep {(!defined $id || $id{$_} eq $id) && HA::Log->new("/proc/$_/cmdline")->text =~ /^service \Q$id{$_}\E\b/} keys %id;
}

# For how many ms two of different ids have lived at once, all in all; or, of several, two of different
# ones.
sub overlap_ms(@services)
{
    my $sum = 0;
    my @lives = map {my $of = $_; map {{%$_, id => "$of $_->{id}"}} $of->lives} @services;
    for my $i (0 .. $#lives) {
        for my $other (@lives[$i + 1 .. $#lives]) {
            my ($one, $to) = ($lives[$i], $lives[$i]{to} < $other->{to} ? $lives[$i]{to} : $other->{to});
            my $from = $one->{from} > $other->{from} ? $one->{from} : $other->{from};
            $sum += $to - $from if $to > $from && $one->{id} ne $other->{id};
        }
    }
    return $sum;
}

# How long the scripts of these ids have run from `since_ms` until a service began to live, in ms:
# each runs alone in that time but those of others, which nobody waits for.
sub scripts_ms($self, $since_ms, $from_ms, @ids)
{
    my ($sum, %is_one) = (0, map {$_ => 1} @ids);
    for my $line ($self->lines('ends')) {
        my ($end, $id, $begin) = split / /, $line;
        next if !$is_one{$id} || $begin < $since_ms || $begin >= $from_ms;
        $sum += ($end < $from_ms ? $end : $from_ms) - $begin;
    }
    return $sum;
}

# Waits until exactly this one lives; for how many ms that took since `since_ms`.
sub wait_for($self, $id, $since_ms, $what, $seconds = 30)
{
    $self->{t}->wait_for(sub { join(' ', $self->alive) eq $id }, $seconds, $what);
    my ($first) = grep {$_->{id} eq $id && $_->{to} >= $since_ms} reverse $self->lives;
    return $first->{from} - $since_ms;
}

# What a replica's scripts do from now on; () is nothing special.
sub wish($self, $id, @what)
{
    my $file = "$self->{dir}/wish.$id";
    return unlink $file if !@what;
    return $self->{t}->write_file($file, join('', map {"$_\n"} @what));
}

# How often a script has run since, by id and role.
sub runs($self, $id, $role, $since_ms = 0)
{
    return scalar grep {my ($at, $one, $what) = split / /; $one eq $id && $what eq $role && $at >= $since_ms} $self->lines('runs');
}

# All services that are left, when a test is over.
sub kill_all($self)
{
    kill 'KILL', $self->pids;
    return;
}

1;
