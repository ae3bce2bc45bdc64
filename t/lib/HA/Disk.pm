# SPDX-License-Identifier: Apache-2.0
# Owns small disks of a test, in a mount namespace of its own, with which they end. Does not know what
# is on them.
package HA::Disk;
use v5.36;

use HA::Test;

use constant BLOCK => 4096;

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

1;
