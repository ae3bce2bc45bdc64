# SPDX-License-Identifier: Apache-2.0
# Owns what is made of the runs of bench/failover: percentiles, bars, the table. Does not measure.
package Bench::FailoverReport;
use v5.36;

use List::Util qw(max min sum0);

# Tasks in order; of each: title, and lines: what it is, unit, the key of its samples, and bars:
# [of what, kind, number]. What is counted, and not timed, has the sum alone.
my @table = (
    leader => ['the leader is killed', [
        ['until a new map can be committed', 'ms', 'took', ['p50', '<=', 1500], ['p99', '<=', 2500]],
    ]],
    host => ['the host of the active replica is lost, lease 5 s', [
        ['until its service runs elsewhere', 'ms', 'took', ['p99', '<=', 8000]],
        ['the lease is no shorter', 'ms', 'took', ['min', '>=', 4000]],
    ]],
    both => ['that host is lost, and it led, too', [
        ['until its service runs elsewhere', 'ms', 'took', ['p99', '<=', 10_000]],
    ]],
    switchover => ['by hand', [
        ['until the service runs there', 'ms', 'took'],
        ['of that, the scripts themselves', 'ms', 'scripts'],
        ['the rest', 'ms', 'rest', ['p99', '<=', 1000]],
    ]],
    map => ['a change of the map, from the answer of its command on', [
        ['in force in a child', 'ms', 'each', ['p99', '<=', 100]],
        ['in all children of both proxies', 'ms', 'all', ['p99', '<=', 100]],
    ]],
    commands => ['64 clients, all on disk before they are answered', [
        ['commands a second', '/s', 'rate', ['p50', '>=', 1000]],
        ['a command', 'ms', 'took'],
        ['CPU of the leader for each', 'us', 'leader_cpu'],
        ['CPU of the two others', 'us', 'others_cpu'],
    ]],
    memory => ['a daemon with nothing to do', [
        ['RSS', 'KB', 'rss', ['max', '<=', 16 * 1024]],
        ['PSS', 'KB', 'pss'],
        ['PSS of its guard', 'KB', 'guard_pss'],
    ]],
    requests => ['requests while daemons are killed, paused, cut off, all killed, and the active one is lost with its host', [
        ['sent to the balanced application', '', 'sent'],
        ['sent to the active-passive one', '', 'sent_single'],
        ['the longest of these', 'ms', 'longest'],
        ['failed', '', 'failed', ['sum', '<=', 0]],
        ['changes of the map meanwhile', '', 'changes'],
    ]],
    overlap => ['two active services at once, in all runs', [
        ['services that lived', '', 'lives'],
        ['together', 'ms', 'overlap', ['max', '<=', 0]],
    ]],
);
my @names = map {$table[2 * $_]} 0 .. $#table / 2;
my %by_name = @table;

sub tasks($class) { return @names }

# What so many of a hundred are not above.
sub percentile($share, @numbers)
{
    my @sorted = sort {$a <=> $b} @numbers;
    my $at = $share * @sorted;
    my $whole = $at == int $at ? $at : int $at + 1;
    return $sorted[max(0, $whole - 1)];
}

my %of = (
    p50 => sub (@all) { percentile(0.5, @all) },
    p99 => sub (@all) { percentile(0.99, @all) },
    min => sub (@all) { min(@all) },
    max => sub (@all) { max(@all) },
    sum => sub (@all) { sum0(@all) },
);

sub _bar($bar, $numbers)
{
    my ($what, $kind, $number) = @$bar;
    my $got = $numbers->{$what};
    my $keeps = $kind eq '<=' ? $got <= $number : $got >= $number;
    return {of => $what, bar => "$kind $number", keeps => $keeps ? 1 : 0};
}

sub _line($line, @runs)
{
    my ($what, $unit, $key, @bars) = @$line;
    my @samples = map {ref $_->{$key} ? @{$_->{$key}} : $_->{$key} // ()} @runs;
    return () if !@samples;
    my %numbers = map {$_ => $of{$_}->(@samples)} keys %of;
    return {what => $what, unit => $unit, n => scalar @samples, %numbers, bars => [map {_bar($_, \%numbers)} @bars]};
}

# What is made of the runs: [{task, title, lines => [{what, unit, n, p50, p99, min, max, sum,
# bars => [{of, bar, keeps}]}]}].
sub results($class, $runs)
{
    my @results;
    for my $name (grep {$runs->{$_}} @names) {
        my ($title, $lines) = @{$by_name{$name}};
        push @results, {task => $name, title => $title, lines => [map {_line($_, @{$runs->{$name}})} @$lines]};
    }
    return \@results;
}

sub _number($number, $unit)
{
    return sprintf $unit eq 'ms' && $number < 100 ? '%.1f' : '%.0f', $number;
}

sub _row($line)
{
    my @shown = $line->{unit} eq '' ? ('', '', _number($line->{sum}, '')) : map {_number($line->{$_}, $line->{unit})} qw(p50 p99 max);
    my @bars = map {"$_->{of} $_->{bar} " . ($_->{keeps} ? 'kept' : 'MISSED')} @{$line->{bars}};
    my $row = sprintf '  %-36s %6d %9s %9s %9s %-3s %s', $line->{what}, $line->{n}, @shown, $line->{unit}, join ', ', @bars;
    return $row =~ s/ +$//r . "\n";
}

# The table for people. Of what is counted the last column is the sum.
sub text($class, $results)
{
    my $text = sprintf "  %-36s %6s %9s %9s %9s     %s\n", '', 'n', 'p50', 'p99', 'max', 'bars';
    for my $task (@$results) {
        $text .= "$task->{task}: $task->{title}\n" . join '', map {_row($_)} @{$task->{lines}};
    }
    return $text;
}

1;
