# SPDX-License-Identifier: Apache-2.0
# Owns what is asked of the system: which core a process runs on, the CPU time and the memory of all
# processes of a proxy, and what machine this is. Does not start or stop processes.
package Bench::Machine;
use v5.36;

use POSIX ();
use Time::HiRes qw(clock_gettime);

# --- cores ----------------------------------------------------------------------------------------

sub _read($path)
{
    open(my $in, '<', $path) or return '';
    local $/;
    return <$in> // '';
}

sub _cores_of($status)
{
    my ($list) = $status =~ /^Cpus_allowed_list:\s*(\S+)/m;
    return map {/^(\d+)-(\d+)$/ ? ($1 .. $2) : $_} split /,/, $list // '0';
}

# The cores that this program may use when it starts: (for proxies, for load and backend). The same
# one twice when there is only one.
sub cores
{
    state @cores = _cores_of(_read('/proc/self/status'));
    return ($cores[0], $cores[1] // $cores[0]);
}

# This process, and what it starts from now on, runs on that core.
sub stay_on($core)
{
    my $said = qx(taskset -p -c $core $$ 2>&1);
    die "taskset could not pin to core $core: $said" if $?;
    return;
}

# Runs a sub whose children are to stay on that core.
sub on_core($core, $code)
{
    my (undef, $usual) = cores();
    stay_on($core);
    my $got = eval { [$code->()] };
    my $why = $@;
    stay_on($usual);
    die $why if !$got;
    return $got->[0];
}

# --- processes ------------------------------------------------------------------------------------

# The fields of /proc/PID/stat after the name, from `state` on; empty when it is gone.
sub _stat($pid)
{
    my ($rest) = _read("/proc/$pid/stat") =~ /^\d+ \(.*\) (.*)/s;
    return split / /, $rest // '';
}

# All processes of a proxy: those of the session that it was started in.
sub tree($pid)
{
    my @all = map {m{/proc/(\d+)$}} glob '/proc/[0-9]*';
    return grep { ((_stat($_))[3] // 0) == $pid } @all;
}

# A process's CPU clock is what its utime and stime add up to, in nanoseconds instead of ticks.
sub _own_seconds($pid, @stat)
{
    my $clock = (~$pid << 3) | 2;
    my $seconds = do { no warnings; clock_gettime($clock) };
    return $seconds if $seconds > 0;
    return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# CPU seconds of all processes of a proxy so far, and of children of theirs that have ended.
sub cpu_seconds($pid)
{
    state $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());
    my $sum = 0;
    for my $one (tree($pid)) {
        my @stat = _stat($one) or next;
        $sum += _own_seconds($one, @stat) + ($stat[13] + $stat[14]) / $ticks;
    }
    return $sum;
}

# The memory of all processes of a proxy in bytes: each page counts once, however many share it.
sub memory_bytes($pid)
{
    my $sum = 0;
    for my $one (tree($pid)) {
        my ($kb) = _read("/proc/$one/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m;
        return undef if !defined $kb;
        $sum += 1024 * $kb;
    }
    return $sum;
}

# Why a proxy is not where it should be: a thread that may run elsewhere. Undef when all is well.
sub strays($pid, $core)
{
    for my $one (tree($pid)) {
        for my $path (glob "/proc/$one/task/*/status") {
            my $status = _read($path) || next;
            my @cores = _cores_of($status);
            return "process $one may run on cores @cores, not on $core alone" if "@cores" ne $core;
        }
    }
    return undef;
}

# --- the machine ----------------------------------------------------------------------------------

# How many descriptors a process may open.
sub descriptors
{
    my ($most) = _read('/proc/self/limits') =~ /^Max open files\s+(\d+)/m;
    return $most // 1024;
}

sub facts
{
    my $cpu_info = _read('/proc/cpuinfo');
    my ($model) = $cpu_info =~ /^model name\s*:\s*(.*)$/m;
    my ($memory) = _read('/proc/meminfo') =~ /^MemTotal:\s*(\d+)/m;
    my ($system) = _read('/etc/os-release') =~ /^PRETTY_NAME="?(.*?)"?$/m;
    my ($load) = _read('/proc/loadavg') =~ /^(\S+)/;
    return {
        cpu => $model // 'unknown',
        cores => scalar(() = $cpu_info =~ /^processor\s*:/mg),
        memory_mb => int(($memory // 0) / 1024),
        system => $system // 'unknown',
        kernel => (POSIX::uname())[2],
        load_before => 0 + $load,
        descriptors => 0 + descriptors(),
    };
}

1;
