# SPDX-License-Identifier: Apache-2.0
# Owns what is made of the rounds: medians, ratios, the table and the JSON. Does not measure.
package Bench::Report;
use v5.36;

use JSON::PP ();
use List::Util qw(max min sum0);

use Bench::Contender;

my @peers = qw(haproxy nginx);

# Ratios of CPU a request: name, above, below. "peer" is the better one of HAProxy and nginx.
my @ratios = (
    ['lane/best peer', 'lane', 'peer'],
    ['lane/floor', 'lane', 'forward'],
    ['stock/lane', 'stock', 'lane'],
    ['standard/stock', 'standard', 'stock'],
    ['listen/best peer', 'listen', 'peer'],
    ['listen/floor', 'listen', 'forward'],
);

# --- numbers --------------------------------------------------------------------------------------

sub median(@numbers)
{
    my @sorted = sort {$a <=> $b} grep {defined} @numbers;
    return undef if !@sorted;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

# The median of each number over the rounds; errors are added up.
sub _medians(@rounds)
{
    my %medians;
    for my $key (grep {$_ ne 'errors'} keys %{$rounds[0] // {}}) {
        $medians{$key} = median(map {$_->{$key}} @rounds);
    }
    my %errors;
    for my $round (@rounds) {
        $errors{$_} += $round->{errors}{$_} for keys %{$round->{errors}};
    }
    return {%medians, errors => \%errors};
}

# A number of one contender in one round; that of "peer" is the smaller of the peers'.
sub _of_round($by, $name, $key, $round)
{
    my @names = $name eq 'peer' ? @peers : $name;
    my @results = map {$by->{$_}{rounds}[$round] // ()} grep {$by->{$_}} @names;
    my @values = grep {defined} map {$_->{$key}} @results;
    return @values ? min(@values) : undef;
}

# The median of above/below over the rounds that have both.
sub _ratio($by, $key, $above, $below)
{
    my @quotients;
    for my $round (0 .. max(0, map {$#{$_->{rounds}}} values %$by)) {
        my @two = map { _of_round($by, $_, $key, $round) } $above, $below;
        push @quotients, $two[0] / $two[1] if defined $two[0] && $two[1];
    }
    return median(@quotients);
}

# What is made of a workload's entrants: {contenders => {...}, ratios => {...}}.
sub summary($class, $workload, @entrants)
{
    my %by;
    for my $entrant (@entrants) {
        my %result = map {$_ => $entrant->{$_}} grep {defined $entrant->{$_}} qw(status why rounds);
        $result{median} = _medians(@{$entrant->{rounds}}) if @{$entrant->{rounds}};
        $by{$entrant->{name}} = \%result;
    }
    my %ratios = map {$_->[0] => _ratio(\%by, 'cpu_us', @$_[1, 2])} @ratios;
    if ($workload->{kind} eq 'idle') {
        $ratios{"memory a client, lane/$_"} = _ratio(\%by, 'idle_bytes', 'lane', $_) for @peers;
    }
    delete @ratios{grep {!defined $ratios{$_}} keys %ratios};
    return {
        title => $workload->{title},
        kind => $workload->{kind},
        order => [map {$_->{name}} @entrants],
        contenders => \%by,
        ratios => \%ratios,
    };
}

# --- for people -----------------------------------------------------------------------------------

sub _ms($us)        { return sprintf '%.2f', $us / 1000 }
sub _megabytes($n)  { return sprintf '%.1f MB', $n / 1e6 }
sub _kilobytes($n)  { return sprintf '%.2f KB', $n / 1e3 }

# Columns: title, width, key, and how its number is shown.
my @columns = (
    ['req/s', 9, 'rps', sub ($n) { sprintf '%.0f', $n }],
    ['CPU us', 9, 'cpu_us', sub ($n) { sprintf '%.1f', $n }],
    ['core', 6, 'core', sub ($n) { sprintf '%.0f%%', 100 * $n }],
    ['p50 ms', 10, 'p50_us', \&_ms],
    ['p99 ms', 10, 'p99_us', \&_ms],
    ['memory', 11, 'memory', \&_megabytes],
);
my %more_columns = (
    idle => [['a client', 11, 'idle_bytes', \&_kilobytes]],
    log => [['log us', 9, 'log_us', sub ($n) { sprintf '%+.1f', $n }]],
);

sub _errors($errors)
{
    my @kinds = grep {$errors->{$_}} sort keys %$errors;
    return '0' if !@kinds;
    return join ' ', map {"$_:$errors->{$_}"} @kinds;
}

sub _line($name, $result, @columns)
{
    my $median = $result->{median};
    my $line = sprintf '  %-9s', $name;
    if ($result->{status} ne 'measured') {
        my $why = $result->{why} =~ s/\n/\n    /gr;
        return "$line $result->{status}: $why\n";
    }
    for my $column (@columns) {
        my (undef, $width, $key, $show) = @$column;
        my $number = $median->{$key};
        $line .= sprintf "%${width}s", defined $number ? $show->($number) : '-';
    }
    return $line . '  ' . _errors($median->{errors}) . "\n";
}

# The table of a workload.
sub text($class, $name, $summary)
{
    my @all = (@columns, @{$more_columns{$summary->{kind}} // []});
    my $text = "$name: $summary->{title}\n" . ' ' x 11;
    $text .= join('', map { sprintf "%$_->[1]s", $_->[0] } @all) . "  errors\n";
    $text .= _line($_, $summary->{contenders}{$_}, @all) for @{$summary->{order}};
    my @known = grep {defined $summary->{ratios}{$_}} map {$_->[0]} @ratios;
    my @other = grep {/^memory/} sort keys %{$summary->{ratios}};
    my @shown = map { sprintf '%s %.2f', $_, $summary->{ratios}{$_} } @known, @other;
    $text .= '  ratios: ' . join(', ', @shown) . "\n" if @shown;
    return $text;
}

# How many contenders failed in a summary, and how many were measured.
sub count($class, $status, @summaries)
{
    return sum0 map { scalar grep {$_->{status} eq $status} values %{$_->{contenders}} } @summaries;
}

# --- for programs ---------------------------------------------------------------------------------

sub json($class, $document)
{
    return JSON::PP->new->canonical->pretty->encode($document);
}

1;
