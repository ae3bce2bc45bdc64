# SPDX-License-Identifier: Apache-2.0
# Owns what a process takes of the machine, as /proc tells it. Does not judge it.
package HA::Usage;
use v5.36;

use List::Util qw(sum0);
use POSIX qw(_SC_CLK_TCK sysconf);
use Time::HiRes qw(sleep);

sub _text($path)
{
    open(my $in, '<', $path) or return '';
    local $/;
    return <$in> // '';
}

# CPU time of a process since its start, in clock ticks.
sub ticks($pid)
{
    my (undef, $rest) = split /.*\) /s, _text("/proc/$pid/stat");
    my @fields = split ' ', $rest // '';
    return ($fields[11] // 0) + ($fields[12] // 0);
}

# The same in seconds.
sub cpu_seconds($pid)
{
    return ticks($pid) / sysconf(_SC_CLK_TCK);
}

# Clock ticks within some seconds from now.
sub ticks_within($pid, $seconds)
{
    my $before = ticks($pid);
    sleep $seconds;
    return ticks($pid) - $before;
}

# CPU time of processes, all together, within some seconds from now, in percent of a processor.
sub percent_within($seconds, @pids)
{
    my $before = sum0(map {ticks($_)} @pids);
    sleep $seconds;
    my $ticks = sum0(map {ticks($_)} @pids) - $before;
    return 100 * $ticks / sysconf(_SC_CLK_TCK) / $seconds;
}

# Memory that is resident, in KB.
sub resident_kb($pid)
{
    return _text("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 : 0;
}

# How many descriptors are open; those of pipes, which a loop keeps for later, apart.
sub descriptors($pid)
{
    return scalar(() = glob "/proc/$pid/fd/*") - pipes($pid);
}

sub pipes($pid)
{
    return scalar grep {(readlink($_) // '') =~ /^pipe:/} glob "/proc/$pid/fd/*";
}

1;
