# SPDX-License-Identifier: Apache-2.0
# Owns what is made of the rounds of bench/zones: medians, bars, the table. Does not measure.
package Bench::ZoneReport;
use v5.36;

use List::Util qw(max sum0);

use Bench::Report;

# How a number of several rounds is made of theirs: the median of a sub's values, the worst, or the sum.
sub _median_of($of)
{
    return sub (@rounds) { Bench::Report::median(map { $of->($_) } @rounds) };
}

sub _most_of($key) { return sub (@rounds) { max map {$_->{$key}} @rounds } }
sub _sum_of($key)  { return sub (@rounds) { sum0 map {$_->{$key}} @rounds } }
sub _median($key)  { return _median_of(sub ($round) { $round->{$key} }) }

sub _ratio($above, $below)
{
    return _median_of(sub ($round) { $round->{$above} / $round->{$below} });
}

# What was counted as unprotected was not promised.
sub _sum_beyond($key, $allowed)
{
    return sub (@rounds) { sum0 map { max 0, $_->{$key} - $_->{$allowed} } @rounds };
}

sub _difference($more, $less)
{
    my $of = sub ($round) { defined $round->{$more} ? $round->{$more} - $round->{$less} : undef };
    return _median_of($of);
}

# What libmemcached's part was is measured beside each.
sub _added($key, $below)
{
    return _median_of(sub ($round) { ($round->{$key} - $round->{off}) / $below->($round) });
}

my $one_trip = sub ($round) { $round->{plain} };
# The budget is 100 ms; a core that serves all of them may be late by as much as half of that.
use constant {FAILOVER_MORE_US => 2000, ONE_BUDGET_US => 150_000};
my $two_trips_more = sub ($round) { 2 * $round->{plain} + FAILOVER_MORE_US };

# Tasks in order; of each: title, and lines: what it is, unit, how it is made of the rounds, and what it may
# be at most (<=) or at least (>=).
my @table = (
    unchanged => ['a request of a session that did not change, 32 clients', [
        ['CPU, HAZone off', 'us', _median('off')],
        ['CPU, shm', 'us', _median('shm')],
        ['CPU, memcached', 'us', _median('memcached')],
        ['CPU, memcached, with a look each time', 'us', _median('look')],
        ['shm / off', 'x', _ratio('shm', 'off'), '<=', 1.10],
        ['memcached / off', 'x', _ratio('memcached', 'off'), '<=', 1.10],
    ]],
    store_time => ['a request that stores 1 KB, alone', [
        ['HAZone off', 'us', _median('off')],
        ['shm', 'us', _median('shm')],
        ['two memcached', 'us', _median('memcached')],
        ['libmemcached, one set, the slower of both', 'us', _median('plain')],
        ['added by memcached / that', 'x', _added('memcached', $one_trip), '<=', 1.5],
    ]],
    store_rate => ['requests that store 1 KB, 64 clients', [
        ['HAZone off', '/s', _median('off')],
        ['shm', '/s', _median('shm')],
        ['two memcached', '/s', _median('memcached')],
        ['libmemcached, 4 threads, set on both', '/s', _median('set')],
        ['libmemcached, 4 threads, gets and cas on both', '/s', _median('cas')],
        ['CPU, HAZone off', 'us', _median('off_cpu')],
        ['CPU, shm', 'us', _median('shm_cpu')],
        ['CPU, two memcached', 'us', _median('memcached_cpu')],
        ['CPU, libmemcached, set on both', 'us', _median('set_cpu')],
        ['CPU, libmemcached, gets and cas on both', 'us', _median('cas_cpu')],
        ['two memcached / set', 'x', _ratio('memcached', 'set'), '>=', 0.7],
        ['two memcached / gets and cas', 'x', _ratio('memcached', 'cas'), '>=', 0.7],
    ]],
    failover => ['the first request of a session whose instance was killed, alone', [
        ['HAZone off', 'us', _median('off')],
        ['shm', 'us', _median('shm')],
        ['two memcached', 'us', _median('memcached')],
        ['libmemcached, one set', 'us', _median('plain')],
        ['added by memcached / (two sets + 2 ms)', 'x', _added('memcached', $two_trips_more), '<=', 1],
    ]],
    node_killed => ['one of two memcached is killed under load, then the instances', [
        ['requests', '', _sum_of('asked')],
        ['failed', '', _sum_of('failed'), '<=', 0],
        ['sessions', '', _sum_of('sessions')],
        ['lost', '', _sum_of('lost'), '<=', 0],
        ['states that could not be stored in time', '', _sum_of('unprotected')],
        ['given back older than they were', '', _sum_of('stale')],
        ['of these, beyond those', '', _sum_beyond('stale', 'unprotected'), '<=', 0],
        ['not given back at once, as the store was late', '', _sum_of('late')],
    ]],
    node_stalled => ['one of two memcached hangs, requests that store', [
        ['failed', '', _sum_of('failed'), '<=', 0],
        ['before', 'us', _median('before')],
        ['the longest when it hangs', 'us', _most_of('longest'), '<=', ONE_BUDGET_US],
        ['later ones that waited for half a budget', '', _sum_of('late'), '<=', 0],
        ['from then on until it goes on', 'us', _median('median')],
        ['added from then on', 'us', _difference('median', 'before'), '<=', 1000],
    ]],
    all_down => ['both memcached are killed under load', [
        ['failed', '', _sum_of('failed'), '<=', 0],
        ['without a store: before', 'us', _median('get_before')],
        ['without a store: after', 'us', _median('get_after')],
        ['without a store: added', 'us', _difference('get_after', 'get_before'), '<=', 1000],
        ['with a store: before', 'us', _median('before')],
        ['with a store: after', 'us', _median('after')],
        ['the longest', 'us', _most_of('longest')],
        ['states that could not be stored', '', _sum_of('put_after')],
        ['counted as unprotected', '', _sum_of('unprotected')],
        ['counted / could not be stored', 'x', _ratio('unprotected', 'put_after'), '>=', 0.99],
    ]],
);
my @names = map {$table[2 * $_]} 0 .. $#table / 2;
my %by_name = @table;

sub tasks($class) { return @names }

# Whether a number keeps to its bar; undef without one.
sub _keeps($number, $kind, $bar)
{
    return undef if !$kind || !defined $number;
    return ($kind eq '<=' ? $number <= $bar : $number >= $bar) ? 1 : 0;
}

sub _line($line, @rounds)
{
    my ($what, $unit, $make, $kind, $bar) = @$line;
    my $number = $make->(@rounds);
    my %result = (what => $what, unit => $unit, number => $number);
    @result{qw(bar keeps)} = ("$kind $bar", _keeps($number, $kind, $bar)) if $kind;
    return \%result;
}

# What is made of the rounds: [{task, title, lines => [{what, unit, number, bar, keeps}]}].
sub results($class, $rounds)
{
    my @results;
    for my $name (grep {$rounds->{$_}} @names) {
        my ($title, $lines) = @{$by_name{$name}};
        my @lines = map { _line($_, @{$rounds->{$name}}) } @$lines;
        push @results, {task => $name, title => $title, lines => \@lines};
    }
    return \@results;
}

sub _number($line)
{
    my ($number, $unit) = @$line{qw(number unit)};
    return '-' if !defined $number;
    return sprintf '%.1f', $number if $unit eq 'us';
    return sprintf $unit eq 'x' ? '%.2f' : '%.0f', $number;
}

# The table for people.
sub text($class, $results)
{
    my $text = '';
    for my $task (@$results) {
        $text .= "$task->{task}: $task->{title}\n";
        for my $line (@{$task->{lines}}) {
            my $bar = $line->{bar} ? "  bar $line->{bar}: " . ($line->{keeps} ? 'kept' : 'missed') : '';
            $text .= sprintf "  %-46s %9s %-2s%s\n", $line->{what}, _number($line), $line->{unit}, $bar;
        }
    }
    return $text;
}

1;
