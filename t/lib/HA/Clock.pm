# SPDX-License-Identifier: Apache-2.0
# Owns a wall clock that a test may set, for the processes that it is given to.
package HA::Clock;
use v5.36;

# Each has its own name.
sub new($class, $t, $name = 'clock')
{
    my $self = bless {library => $t->dir("step_$name.so"), file => $t->dir($name)}, $class;
    my @compiler = split ' ', HA::Test::build_var('CC');
    my @command = (@compiler, qw(-shared -fPIC -O1 -o), $self->{library}, HA::Test::top_srcdir() . '/t/lib/step_clock.c');
    system(@command) == 0 or die "@command failed\n";
    $t->write_file($name, pack 'q', 0);
    return $self;
}

# What a process needs in its environment to have this clock.
sub env($self)
{
    return {LD_PRELOAD => $self->{library}, STEP_CLOCK => $self->{file}};
}

# Sets it: so many seconds before or behind the real one.
sub set($self, $seconds)
{
    open(my $out, '+<:raw', $self->{file}) or die "$self->{file}: $!\n";
    syswrite($out, pack 'q', $seconds) == 8 or die "$self->{file}: $!\n";
    return;
}

1;
