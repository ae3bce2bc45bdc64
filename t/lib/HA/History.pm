# SPDX-License-Identifier: Apache-2.0
# Owns a load of commands on a cluster of daemons, and the judgement of what was answered: clients
# that each set a member of their own, and one that all change by compare-and-set; each asks again,
# another node, with the same client and seq until there is an answer. The value that is set is the
# port of the member's URL, which only rises.
package HA::History;
use v5.36;

use HA::Test;
use HA::Zerod;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep);

use constant {APP => 'Load', SHARED => 'shared', AGAIN_SECONDS => 0.05, PORT_BASE => 1000};

sub new($class, $t, @zerods)
{
    my $self = bless {t => $t, zerods => [@zerods], pids => [], stop => $t->dir('history.stop')}, $class;
    $t->wait_for(sub { ($zerods[0]->order('app-set', app => APP, single => \0) // '') =~ /^(?:done|unchanged)/ }, 20, 'the application of the load');
    return $self;
}

sub now() { return clock_gettime(CLOCK_MONOTONIC) }

# Clients from now on, until stop(): `n` of them, and one that looks at the maps.
sub begin($self, $n)
{
    my $t = $self->{t};
    push @{$self->{pids}}, $t->spawn("client$_", code => sub { $self->_client($_) }) for 1 .. $n;
    push @{$self->{pids}}, $t->spawn('looker', code => sub { $self->_look });
    return;
}

sub _open($self, $name)
{
    open(my $out, '>', $self->{t}->dir("history.$name")) or die "history: $!\n";
    $out->autoflush(1);
    delete $_->{socket} for @{$self->{zerods}};
    srand $$;
    return $out;
}

# The answer to a command, whoever gives it at last: undef when the load is over.
sub _carry_out($self, $client, $seq, %member)
{
    while (!-e $self->{stop}) {
        my $zerod = $self->{zerods}[rand @{$self->{zerods}}];
        my $answer = $zerod->ask({ask => 'command', command => {do => 'member-set', client => $client, seq => $seq, app => APP, weight => 1, admin => 'enabled', %member}});
        return $answer if $answer && !$answer->{error};
        sleep AGAIN_SECONDS;
    }
    return undef;
}

# Lines: KEY SEQ EXPECTED END VERSION FROM TO WHY.
sub _client($self, $i)
{
    my $out = $self->_open("client$i");
    for (my $seq = 1; !-e $self->{stop}; $seq++) {
        my $shared = $seq % 3 == 0;
        my $map = $shared ? $self->{zerods}[rand @{$self->{zerods}}]->map : undef;
        my $from = now();
        my %what = $map ? (route => SHARED, expect => $map->{version}, url => 'http://192.0.2.100:' . (PORT_BASE + $i * 8000 + $seq)) : (route => "own$i", url => "http://192.0.2.$i:" . (PORT_BASE + $seq));
        my $answer = $self->_carry_out("load$i", $seq, %what) // last;
        say $out join ' ', $what{route}, $seq, $what{expect} // '-', $answer->{end}, $answer->{version}, $from, now(), $answer->{why};
    }
    return;
}

# Lines: NODE VERSION KEY=PORT ...
sub _look($self)
{
    my $out = $self->_open('looker');
    while (!-e $self->{stop}) {
        for my $zerod (@{$self->{zerods}}) {
            my $map = $zerod->map // next;
            my ($app) = grep {$_->{name} eq APP} @{$map->{apps}};
            say $out join ' ', $zerod->{id}, $map->{version}, map {"$_->{route}=" . ($_->{url} =~ /:(\d+)$/)[0]} grep {$_->{url}} @{$app->{members} // []};
        }
        sleep AGAIN_SECONDS;
    }
    return;
}

sub stop($self)
{
    $self->{t}->write_file('history.stop', '');
    $self->{t}->wait_end($_, 30) for @{$self->{pids}};
    return;
}

sub _lines($self, $name)
{
    open(my $in, '<', $self->{t}->dir("history.$name")) or return;
    chomp(my @lines = <$in>);
    return map {[split / /]} @lines;
}

# All answers of clients.
sub answers($self)
{
    return map {$self->_lines("client$_")} 1 .. @{$self->{pids}} - 1;
}

# The longest time, in seconds, in which nobody got an answer.
sub gap($self)
{
    my @at = sort {$a <=> $b} map {$_->[6]} $self->answers;
    my $gap = 0;
    $gap = $at[$_] - $at[$_ - 1] > $gap ? $at[$_] - $at[$_ - 1] : $gap for 1 .. $#at;
    return $gap;
}

# What is wrong with it all, a line each; `map` is the last one.
sub problems($self, $map)
{
    my (%own, %won, @wrong);
    for my $answer ($self->answers) {
        my ($key, $seq, $expect, $end, $version) = @$answer;
        push @wrong, "$key $seq: " . join(' ', @$answer[3 .. $#$answer]) if $end !~ /^(?:done|unchanged|conflict)$/ || ($end eq 'conflict' && $expect eq '-');
        next if $end ne 'done';
        push @wrong, "$key $seq: for version $expect, and made version $version" if $expect ne '-' && $version != $expect + 1;
        push @wrong, "version $version was made by $won{$version} and by $key $seq" if $won{$version};
        $won{$version} = "$key $seq";
        next if $key eq SHARED;
        push @wrong, "$key $seq: version $version after $own{$key}[-1][1]" if $own{$key} && $version <= $own{$key}[-1][1];
        push @{$own{$key}}, [$seq, $version];
    }
    my (%last, %of_version);
    my ($app) = grep {$_->{name} eq APP} @{$map->{apps}};
    my @end = ['end', $map->{version}, map {"$_->{route}=" . ($_->{url} =~ /:(\d+)$/)[0]} grep {$_->{url}} @{$app->{members}}];
    for my $seen ($self->_lines('looker'), @end) {
        my ($node, $version, @values) = @$seen;
        push @wrong, "node $node: version $version after $last{$node}" if $version < ($last{$node} // 0);
        $last{$node} = $version;
        my $text = join ' ', @values;
        push @wrong, "version $version is [$text] on $node, and [$of_version{$version}]" if ($of_version{$version} //= $text) ne $text;
        my %value = map {split /=/} @values;
        for my $key (keys %own) {
            my ($must) = grep {$_->[1] <= $version} reverse @{$own{$key}};
            my ($later) = grep {$_->[1] > $version} @{$own{$key}};
            my $is = ($value{$key} // PORT_BASE) - PORT_BASE;
            push @wrong, "version $version on $node: $key is of $is, and $must->[0] was acknowledged" if $must && $is < $must->[0];
            push @wrong, "version $version on $node: $key is of $is, which came later" if $later && $is >= $later->[0];
        }
    }
    return @wrong;
}

1;
