# SPDX-License-Identifier: Apache-2.0
# Owns how the blind forwarder is run: in front of the first member, for it cannot choose.
package Bench::Contender::Forward;
use v5.36;

use parent -norequire, 'Bench::Contender';

sub balances($self) { return 0 }

sub launch($self)
{
    my ($t, $folder) = @$self{qw(t folder)};
    my $file = $t->dir("$folder.port");
    my $program = HA::Test::top_builddir() . '/bench/forward';
    $self->{pid} = $t->spawn($folder, cmd => [$program, $file, $self->{members}[0]]);
    $t->wait_for(sub { -e $file || defined $t->ended($self->{pid}) }, 15, 'the start of forward');
    die 'forward did not start: ' . HA::Log->new($t->dir("$folder.out"))->text if !-e $file;
    ($self->{port}) = @{HA::Log->new($file)->lines};
    return;
}

1;
