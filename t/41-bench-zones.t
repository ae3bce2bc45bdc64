# SPDX-License-Identifier: Apache-2.0
# bench/zones measures, writes what it measured, and leaves nothing behind. No speed is asserted; that no
# request fails and no session is lost is.
use v5.36;

use JSON::PP qw(decode_json);

use HA::Test;
use HA::Traces;

my $t = HA::Test->new;
my $traces = HA::Traces->new($t);

# Starts it. Its pid, and the log of what it says.
sub zones($name, @args)
{
    return $traces->start($name, HA::Test::top_srcdir() . '/bench/zones', @args);
}

subtest 'a quick run measures every task and writes JSON' => sub {
    my $file = $t->dir('zones.json');
    my ($pid, $log) = zones('run', '--quick', "--json=$file");
    is($traces->exit_code($pid, 180), 0, 'exit 0') or diag($log->text);
    like($log->text, qr{^  memcached / off +\d+\.\d\d x +bar <= 1\.1: (?:kept|missed)$}m,
        'a ratio, its bar, and whether it is kept');

    my $document = decode_json(HA::Log->new($file)->text);
    is(join(' ', map {$_->{task}} @{$document->{results}}),
        'unchanged store_time store_rate failover node_killed node_stalled all_down', 'every task');
    for my $task (@{$document->{results}}) {
        my @lines = @{$task->{lines}};
        my @measured = grep {$_->{unit} =~ m{^(?:us|/s)$}} @lines;
        # On a machine that is very slow nothing may be left of the time in which a node hangs.
        @measured = grep {$_->{what} !~ /^from then on|\badded\b/} @measured;
        is(scalar(grep {($_->{number} // 0) <= 0} @measured), 0, "$task->{task} has its numbers")
            or diag($log->text);
        my @none = grep {($_->{bar} // '') eq '<= 0' && $_->{what} !~ /^later ones/} @lines;
        is($_->{number}, 0, "$task->{task}: $_->{what}: none") for @none;
    }
    is(scalar @{$document->{rounds_of}{unchanged}}, 1, 'a round is kept as it was');
    cmp_ok($document->{rounds_of}{all_down}[0]{unprotected}, '>', 0, 'what is not stored is counted');
    $traces->none;
};

subtest 'who asks for what there is not is told what there is' => sub {
    my %refused = (
        '--fast' => qr/--fast is not an option; there are --quick, --task=NAME/,
        '--task=cost' => qr/no task "cost"; there are unchanged, store_time, /,
        '--seconds=0.5' => qr/--seconds=0.5 is not a whole number from 1 to /,
    );
    for my $option (sort keys %refused) {
        my ($pid, $log) = zones("refused $option", $option);
        is($traces->exit_code($pid, 180), 2, "$option: exit 2");
        like($log->text, $refused{$option}, "$option: a sentence");
    }
};

subtest 'Ctrl-C ends it in the middle of a load' => sub {
    my ($pid, $log) = zones('long', '--task=unchanged', '--seconds=600');
    my $is_loaded = sub { grep {m{bench/load .* -s 600}} $traces->processes };
    $t->wait_for($is_loaded, 60, 'the load');
    $t->signal($pid, 'INT');
    is($traces->exit_code($pid, 180), 130, 'exit 130') or diag($log->text);
    $traces->none;
};

$t->done;
