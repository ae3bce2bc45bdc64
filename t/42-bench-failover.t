# SPDX-License-Identifier: Apache-2.0
# bench/failover measures, writes what it measured, and leaves nothing behind. No speed is asserted; that
# no request fails and that no two services are active at once is.
use v5.36;

use JSON::PP qw(decode_json);

use HA::Test;
use HA::Traces;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;
my $traces = HA::Traces->new($t);

# Starts it. Its pid, and the log of what it says.
sub failover($name, @args)
{
    return $traces->start($name, HA::Test::top_srcdir() . '/bench/failover', @args);
}

# Processes of services, which hide their arguments, that have this folder in their environment.
sub services()
{
    my $folder = $t->dir('tmp');
    return grep {(HA::Zerod::slurp($_) // '') =~ /(?:^|\0)HA_DIR=\Q$folder\E/} glob '/proc/[0-9]*/environ';
}

subtest 'a quick run measures every task and writes JSON' => sub {
    my $file = $t->dir('failover.json');
    my ($pid, $log) = failover('run', '-n=1', "-json=$file");
    is($traces->exit_code($pid, 400), 0, 'exit 0') or diag($log->text);
    like($log->text, qr{^  until a new map can be committed +1 +\d.* ms  p50 <= 1500 (?:kept|MISSED), p99 <= 2500 (?:kept|MISSED)$}m,
        'a line, its bars, and whether they are kept');

    my $document = decode_json(HA::Log->new($file)->text);
    my %by_task = map {$_->{task} => $_} @{$document->{results}};
    is(join(' ', map {$_->{task}} @{$document->{results}}),
        'leader host both switchover map commands memory requests overlap', 'every task');
    for my $name (qw(leader host both switchover map commands memory)) {
        my @empty = grep {$_->{n} <= 0 || $_->{max} <= 0} grep {$_->{what} !~ /^of that|guard/} @{$by_task{$name}{lines}};
        is(join(', ', map {$_->{what}} @empty), '', "$name has its numbers") or diag($log->text);
    }
    my %line = map {$_->{what} => $_} map {@{$_->{lines}}} @{$document->{results}};
    is(join(' ', map {scalar @{$document->{runs}{$_}}} qw(leader host both)), '1 1 1', 'each kill is kept as it was');
    cmp_ok($line{"sent to the $_"}{sum}, '>', 0, "requests were sent to the $_") for 'balanced application', 'active-passive one';
    cmp_ok($line{'the longest of these'}{max}, '>', 3000, 'of which some waited for a take-over');
    is($line{failed}{sum}, 0, 'none failed') or diag($log->text);
    cmp_ok($line{'services that lived'}{sum}, '>=', 6, 'services moved, in both clusters that have some');
    is($line{together}{max}, 0, 'no two at once');
    cmp_ok($line{'the lease is no shorter'}{min}, '>=', 4000, 'nor before the lease was over');
    $traces->none;
    is(join(' ', services()), '', 'and no service is left');
};

subtest 'who asks for what there is not is told what there is' => sub {
    my %refused = (
        '-fast' => qr/-fast is not an option; there are -n=N, -only=NAME/,
        '-only=quorum' => qr/there is no "quorum"; there are leader, host, /,
        '-n=0' => qr/-n=0 is not a whole number from 1 to /,
    );
    for my $option (sort keys %refused) {
        my ($pid, $log) = failover("refused $option", $option);
        is($traces->exit_code($pid, 60), 2, "$option: exit 2");
        like($log->text, $refused{$option}, "$option: a sentence");
    }
};

subtest 'Ctrl-C ends it in the middle of a kill' => sub {
    my ($pid, $log) = failover('long', '-only=host', '-n=1000');
    $t->wait_for(sub { () = services() }, 60, 'a service');
    $t->signal($pid, 'INT');
    is($traces->exit_code($pid, 180), 130, 'exit 130') or diag($log->text);
    $traces->none;
    is(join(' ', services()), '', 'and no service is left');
};

$t->done;
