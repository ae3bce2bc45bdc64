# SPDX-License-Identifier: Apache-2.0
# Owns strace on a process that runs, all of its threads: which of its calls are written down, and
# which are tampered with. Does not know what they should be.
package HA::Strace;
use v5.36;

use HA::Log;

use constant ATTACH_SECONDS => 20;

my $straces = 0;

# Why no process of this test can be traced, or undef.
sub lacks($t)
{
    return 'strace is missing' if !grep {-x "$_/strace"} split /:/, $ENV{PATH};
    my $pid = $t->spawn('traced', cmd => [qw(sleep infinity)]);
    my $can = eval { HA::Strace->new($t, $pid, calls => ['read'])->stop; 1 };
    $t->signal($pid, 'TERM');
    $t->wait_end($pid);
    return $can ? undef : "a process may not be traced here: $@";
}

# Attaches to all threads. Options: calls => the names of those that count; inject => what is done to
# all of these, as `-e inject=` has it, such as error=EIO.
sub new($class, $t, $pid, %opt)
{
    my $name = 'strace.' . ++$straces;
    my $calls = join ',', @{$opt{calls}};
    my @inject = defined $opt{inject} ? ('-e', "inject=$calls:$opt{inject}") : ();
    my $self = bless {t => $t, trace => $t->dir("$name.calls")}, $class;
    $self->{pid} = $t->spawn($name, cmd => [qw(strace -f -qq -y -s 32 -o), $self->{trace}, '-e', "trace=$calls", @inject, '-p', $pid]);
    $t->{processes}{$self->{pid}}{may_fail} = 1;
    my $is_attached = sub { !grep {HA::Log->new($_)->text =~ /^TracerPid:\t0$/m} glob "/proc/$pid/task/*/status" };
    $t->wait_for(sub { defined $t->ended($self->{pid}) || $is_attached->() }, ATTACH_SECONDS, "strace of $pid");
    # It ends well when what it has attached to does.
    die HA::Log->new($t->dir("$name.out"))->text . "\n" if $t->ended($self->{pid});
    return $self;
}

# Lets go of it. The calls, a line each, in the order of their ends.
sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    $self->{t}->wait_end($self->{pid});
    my (%begun, @calls);
    for my $line (@{HA::Log->new($self->{trace})->lines}) {
        my ($pid, $call) = $line =~ /^(\d+) +(.*)/ or next;
        if ($call =~ s/ *<unfinished \.\.\.>$//) {
            $begun{$pid} = $call;
            next;
        }
        push @calls, $call =~ s/^<\.\.\. \w+ resumed>/delete $begun{$pid} \/\/ ''/er;
    }
    return @calls;
}

1;
