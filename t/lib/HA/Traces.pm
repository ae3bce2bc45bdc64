# SPDX-License-Identifier: Apache-2.0
# Owns what a program leaves behind that starts servers of its own: it gets a folder for its
# temporary files, and what is in there, or runs with it in its arguments, is a trace.
package HA::Traces;
use v5.36;

use Test::More ();

use HA::Log;
use HA::Test ();

# Makes the folder in that of the test; servers that give up root can enter it. Programs that run at
# once have one each.
sub new($class, $t, $name = 'tmp')
{
    my $folder = $t->dir($name);
    mkdir $folder or die "$folder: $!\n";
    chmod 0755, $folder;
    return bless {t => $t, folder => $folder}, $class;
}

# Starts a program of Perl, with the switches in front of its name. Its pid, and the log of what it says.
sub start($self, $name, @command)
{
    my $t = $self->{t};
    my %env = (
        TMPDIR => $self->{folder},
        top_srcdir => HA::Test::top_srcdir(),
        top_builddir => HA::Test::top_builddir()
    );
    my $pid = $t->spawn($name, cmd => [$^X, @command], env => \%env);
    $t->may_fail($pid);
    return ($pid, HA::Log->new($t->dir("$name.out")));
}

# Waits until it has ended. Its exit code.
sub exit_code($self, $pid, $timeout)
{
    return $self->{t}->wait_end($pid, $timeout) >> 8;
}

# Command lines of the processes that have the folder in their arguments.
sub processes($self)
{
    my @found;
    for my $path (glob '/proc/[0-9]*/cmdline') {
        open(my $in, '<', $path) or next;
        my $line = <$in> // next;
        push @found, $line =~ tr/\0/ /r if $line =~ /\Q$self->{folder}\E/;
    }
    return @found;
}

# Asserts that there are none.
sub none($self)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @files = glob "$self->{folder}/*";
    Test::More::is("@files", '', 'no file is left');
    Test::More::is(join("\n", $self->processes), '', 'no process is left');
    return;
}

1;
