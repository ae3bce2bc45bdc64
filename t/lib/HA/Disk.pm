# SPDX-License-Identifier: Apache-2.0
# Owns small disks of a test, in a mount namespace of its own, with which they end, and system calls
# of a process that fail for a while. Does not know what is on the disks.
package HA::Disk;
use v5.36;

use HA::Test;

use constant {BLOCK => 4096, ATTACH_SECONDS => 20};

my @mounted;

# Puts the test into its own namespace, by running it anew. Why that cannot be done, or undef.
sub enter()
{
    my $why_not = sub {
        return 'only root mounts' if $> != 0;
        return 'mounts are not allowed here' if system(q(unshare -m sh -c 'mount -t tmpfs none /mnt' >/dev/null 2>&1)) != 0;
        return undef;
    };
    return HA::Test::enter_namespaces($why_not, '-m');
}

# A folder that is a disk of `kb`.
sub new($class, $path, $kb)
{
    my $self = bless {path => $path}, $class;
    mkdir $path, 0700;
    system('mount', '-t', 'tmpfs', '-o', "size=${kb}k,mode=700", 'none', $path) == 0 or die "mount $path failed\n";
    push @mounted, $path;
    return $self;
}

# Nothing more can be written to it, or all can again.
sub fill($self)
{
    open(my $out, '>>', "$self->{path}/filler") or die "$self->{path}/filler: $!\n";
    while (syswrite $out, 'x' x BLOCK) {
    }
    return close $out;
}

sub room($self)
{
    unlink "$self->{path}/filler";
    return;
}

sub unmount_all()
{
    system('umount', '-l', $_) for splice @mounted;
    return;
}

# Before HA::Test removes the folders: what was compiled last ends first.
END {
    my $status = $?;
    unmount_all();
    $? = $status;
}

# --- calls that fail ------------------------------------------------------------------------------

sub lacks_strace()
{
    return 'strace is missing' if !grep {-x "$_/strace"} split /:/, $ENV{PATH};
    return 'a process may not be traced here' if system('strace -o /dev/null true 2>/dev/null') != 0;
    return undef;
}

# Has these calls of a process fail with an error, all of its threads, until end_faults.
sub faults($t, $pid, $error, @calls)
{
    my $name = 'strace.' . ++$t->{straces};
    my $calls = join ',', @calls;
    my $strace = $t->spawn($name, cmd => ['strace', '-f', '-qq', '-o', $t->dir("$name.calls"), '-e', "trace=$calls", '-e', "inject=$calls:error=$error", '-p', $pid]);
    my $attached = sub { !grep {(HA::Zerod::slurp("$_/status") // "TracerPid:\t1\n") =~ /^TracerPid:\t0$/m} glob "/proc/$pid/task/*" };
    $t->wait_for($attached, ATTACH_SECONDS, "strace of $pid");
    return {t => $t, pid => $strace, calls => $t->dir("$name.calls")};
}

# Ends that. The calls that have failed.
sub end_faults($faults)
{
    $faults->{t}->signal($faults->{pid}, 'TERM');
    $faults->{t}{processes}{$faults->{pid}}{may_fail} = 1;
    $faults->{t}->wait_end($faults->{pid});
    return map {/^\d+\s+(\w+)\(.*\(INJECTED\)/ ? $1 : ()} split /\n/, HA::Zerod::slurp($faults->{calls}) // '';
}

1;
