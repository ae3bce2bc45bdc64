# SPDX-License-Identifier: Apache-2.0
# Owns the application behind the contenders: one process, a port and a route for each member. It
# shares a core with the load.
package Bench::Backend;
use v5.36;

use HA::Log;

# Starts with that many members.
sub start($class, $t, $members)
{
    my $name = 'backend-' . ++$t->{backends};
    my $file = $t->dir("$name.ports");
    my $program = HA::Test::top_builddir() . '/bench/backend';
    my $pid = $t->spawn($name, cmd => [$program, $members, $file]);
    $t->wait_for(sub { -e $file || defined $t->ended($pid) }, 15, 'the start of the backend');
    die 'the backend did not start: ' . HA::Log->new($t->dir("$name.out"))->text if !-e $file;
    return bless {t => $t, pid => $pid, ports => HA::Log->new($file)->lines}, $class;
}

# Ports and routes of the members, in the same order.
sub ports($self)  { return $self->{ports} }
sub routes($self) { return [map { sprintf 'm%03d', $_ } 1 .. @{$self->{ports}}] }

sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    $self->{t}->wait_end($self->{pid});
    return;
}

1;
