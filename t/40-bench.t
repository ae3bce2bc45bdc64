# SPDX-License-Identifier: Apache-2.0
# bench/compare measures, writes what it measured, and leaves nothing behind. No speed is asserted.
use v5.36;

use JSON::PP qw(decode_json);

use HA::Test;
use HA::Traces;

my $t = HA::Test->new;
my $traces = HA::Traces->new($t);

# Starts it. Its pid, and the log of what it says.
sub compare($name, @args)
{
    return $traces->start($name, HA::Test::top_srcdir() . '/bench/compare', @args);
}

# Whether a contender's result is what a measurement can give at all.
sub is_sane($name, $result)
{
    is($result->{status}, 'measured', "$name is measured") or diag($result->{why});
    my $round = $result->{rounds}[0];
    cmp_ok($round->{requests}, '>', 0, "$name answered");
    cmp_ok($round->{cpu_us}, '>', 0, "$name took CPU");
    cmp_ok($round->{cpu_us} * $round->{requests} / 1e6, '<', 3, "$name took no more than there was");
    cmp_ok($round->{bytes}, '>=', 100 * $round->{requests}, "$name sent whole answers");
    cmp_ok($round->{p99_us}, '>=', $round->{p50_us}, "the percentiles of $name are in order");
    cmp_ok($round->{memory}, '>', 100_000, "$name needs memory");
    is(join(' ', grep {$round->{errors}{$_}} keys %{$round->{errors}}), '', "$name made no errors");
    return;
}

subtest 'a run measures who is asked for and writes JSON' => sub {
    my $file = $t->dir('compare.json');
    my @who = ('--workload=small', '--only=stock,standard', "--json=$file");
    my ($pid, $log) = compare('run', @who, qw(--rounds=1 --seconds=1 --load=own));
    is($traces->exit_code($pid, 60), 0, 'exit 0') or diag($log->text);
    like($log->text, qr/^  stock +\d+ +\d+\.\d .* 0$/m, 'a line of the table');
    like($log->text, qr{ratios: standard/stock \d+\.\d\d$}m, 'and a ratio');

    my $document = decode_json(HA::Log->new($file)->text);
    is(join(' ', keys %{$document->{workloads}}), 'small', 'one workload');
    my $small = $document->{workloads}{small};
    is("@{$small->{order}}", 'stock standard', 'two contenders');
    is_sane($_, $small->{contenders}{$_}) for qw(stock standard);
    cmp_ok($small->{ratios}{'standard/stock'}, '>', 0, 'their ratio');
    is(join(' ', keys %{$small->{ratios}}), 'standard/stock', 'and none of what was not measured');
    cmp_ok($document->{machine}{cores}, '>=', 1, 'the machine is described');
    $traces->none;
};

subtest 'who asks for what there is not is told what there is' => sub {
    my %refused = (
        '--fast' => qr/--fast is not an option; there are --quick, /,
        '--workload=big' => qr/no workload "big"; there are small, /,
        '--only=apache' => qr/no contender "apache"; there are forward, stock, /,
        '--seconds=0.5' => qr/--seconds=0.5 is not a whole number from 1 to /,
    );
    for my $option (sort keys %refused) {
        my ($pid, $log) = compare("refused $option", $option);
        is($traces->exit_code($pid, 60), 2, "$option: exit 2");
        like($log->text, $refused{$option}, "$option: a sentence");
    }
};

subtest 'Ctrl-C ends it in the middle of a load' => sub {
    my @who = qw(--workload=small --only=forward);
    my ($pid, $log) = compare('long', @who, qw(--rounds=1 --seconds=600 --load=own));
    my $is_loaded = sub { grep {m{bench/load .* -s 600 }} $traces->processes };
    $t->wait_for($is_loaded, 30, 'the load');
    $t->signal($pid, 'INT');
    is($traces->exit_code($pid, 60), 130, 'exit 130') or diag($log->text);
    $traces->none;
};

$t->done;
