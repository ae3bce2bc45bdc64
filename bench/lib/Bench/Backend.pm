# SPDX-License-Identifier: Apache-2.0
# Owns the application behind the contenders: one process, a port and a route for each member. It
# shares a core with the load.
package Bench::Backend;
use v5.36;

use HA::Log;

# Starts with that many members, of which the first has that number.
sub start($class, $t, $members, $first = 1)
{
    my $name = 'backend-' . ++$t->{backends};
    my $file = $t->dir("$name.ports");
    my $program = HA::Test::top_builddir() . '/bench/backend';
    my $pid = $t->spawn($name, cmd => [$program, $members, $file, $first]);
    $t->wait_for(sub { -e $file || defined $t->ended($pid) }, 15, 'the start of the backend');
    die 'the backend did not start: ' . HA::Log->new($t->dir("$name.out"))->text if !-e $file;
    my $ports = HA::Log->new($file)->lines;
    return bless {t => $t, pid => $pid, ports => $ports, first => $first}, $class;
}

# Ports and routes of the members, in the same order.
sub ports($self)  { return $self->{ports} }
sub routes($self) { return [map { sprintf 'm%03d', $self->{first} + $_ } 0 .. $#{$self->{ports}}] }

# Ends it without notice.
sub kill($self)
{
    $self->{t}->signal($self->{pid}, 'KILL');
    $self->{t}->wait_end($self->{pid});
    return;
}

sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    $self->{t}->wait_end($self->{pid});
    return;
}

1;
