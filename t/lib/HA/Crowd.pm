# SPDX-License-Identifier: Apache-2.0
# Owns a crowd of clients in a process of its own, each on one connection that it keeps: they go
# through steps of their own again and again, and every answer has to be the right one. Does not
# judge how often a server may end a connection.
package HA::Crowd;
use v5.36;

use IO::Handle;
use Storable qw(retrieve store);

use HA::Crowd::Worker;

# Starts. Options: clients => how many; port => N, or sub($client) that says which; step =>
# sub($client, $n) that returns the n-th step of a client, counted from 0, or undef at its end:
#
#   {bytes => what is sent, answers => [[METHOD, check], ...]}
#
# and if wanted pieces => the bytes leave in so many, gap => seconds between them, pause => seconds
# until the next step, leave => 1 ends the connection. A check is a sub($response) that returns why
# an answer is not the right one. renew => 1 lets a step go again whose connection was kept and has
# ended before a byte of an answer, as browsers do; timeout => 20 seconds for a step.
sub new($class, $t, %opt)
{
    my %full = (timeout => 20, renew => 0, %opt);
    my $name = 'crowd' . ++$t->{crowds};
    pipe(my $progress, my $report) or die "pipe: $!\n";
    my $pid = $t->spawn(
        $name,
        code => sub {
            store(HA::Crowd::Worker->new(\%full, $report)->run, $t->dir("$name.result"));
        }
    );
    close $report;
    $progress->blocking(0);
    return bless {t => $t, name => $name, pid => $pid, progress => $progress, answers => 0}, $class;
}

# How many answers have come so far.
sub progress($self)
{
    while (sysread($self->{progress}, my $counts, 8192)) {
        $self->{answers} = unpack 'Q', substr $counts, -8;
    }
    return $self->{answers};
}

# Waits until so many more answers have come.
sub wait_more($self, $count)
{
    my $until = $self->progress + $count;
    my $enough = sub { $self->progress >= $until || defined $self->{t}->ended($self->{pid}) };
    $self->{t}->wait_for($enough, 60, "$count answers of a crowd");
    return;
}

# Begins no more steps; those that have begun are ended.
sub finish($self)
{
    $self->{t}->signal($self->{pid}, 'USR1');
    return;
}

# Waits for the end. The result: {steps, answers, failed, renewed, failures => [first ones as text],
# connections => how many were made, max_ms => the longest step}.
sub wait($self, $timeout = 60)
{
    my $t = $self->{t};
    $t->wait_end($self->{pid}, $timeout) == 0 or die "$self->{name} failed\n";
    return retrieve($t->dir("$self->{name}.result"));
}

1;
