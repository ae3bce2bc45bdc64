# SPDX-License-Identifier: Apache-2.0
# The demo of a cluster keeps its promise: each step comes out, and nothing is left however it ends.
use v5.36;

use HA::Test;
use HA::Traces;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;
my $top = HA::Test::top_srcdir();

# A demo without setup and build, which has begun: its traces, its pid, and the log of what it says.
# They wait most of their time, so all of them run at once.
sub demo($name, @args)
{
    my $traces = HA::Traces->new($t, "$name-tmp");
    return [$traces, $traces->start($name, '-I', "$top/t/lib", "$top/tools/demo_cluster.pl", @args)];
}

my %demo = (once => demo('once', '--once'), map {$_ => demo($_)} qw(on start loss));

# Each moment is over soon: neither waits for the end of the other one.
for my $moment (['start' => qr/All have/], ['loss' => qr/is lost:/]) {
    my ($what, $seen) = @$moment;
    my ($traces, $pid, $log) = @{$demo{$what}};
    $t->wait_for(sub { $log->text =~ $seen }, 240, "the $what");
    $t->signal($pid, 'TERM');
}

for my $what ('start', 'loss') {
    my ($traces, $pid, $log) = @{$demo{$what}};
    subtest "SIGTERM stops it during the $what" => sub {
        is($traces->exit_code($pid, 60), 128 + 15, 'exit 128 + signal') or diag($log->text);
        $traces->none;
    };
}

subtest 'each step comes out with --once' => sub {
    my ($traces, $pid, $log) = @{$demo{once}};
    is($traces->exit_code($pid, 240), 0, 'exit 0') or diag($log->text);
    like($log->text, qr/zerod of node (\d)\n  ok      after \d+\.\d s node (?!\1)\d leads$/m, 'another node leads');
    like($log->text, qr/proxy$_ says: App: member hostB: enabled -> drain, by map \d+$/m, "proxy$_ follows it") for 1, 2;
    like($log->text, qr/proxy$_ says: Voting: active: \w+ -> voting[12], epoch 2, by map \d+$/m, "proxy$_ follows the take-over")
        for 1, 2;
    like($log->text, qr{^  ok      /$_: \d+ requests were sent all the while, 0 failed; }m, "no request to $_ fails")
        for qw(App Voting);
    $traces->none;
};

subtest 'Ctrl-C ends what keeps running after the story' => sub {
    my ($traces, $pid, $log) = @{$demo{on}};
    $t->wait_for(sub { $log->text =~ /Ctrl-C ends it/ }, 240, 'the end of the story');
    my ($app) = $log->text =~ m{http://127\.0\.0\.1:(\d+)/(App|Voting)/ };
    is($t->client(port => $app)->get('/App/')->status, 200, 'the application can be looked at');
    like($t->client(port => $app)->get('/Voting/')->body, qr/^voting\d /, 'and the active-passive one');
    my ($daemon) = $log->text =~ /node 1 has pid (\d+)/;
    kill 'STOP', $daemon;
    $t->signal($pid, 'INT');
    is($traces->exit_code($pid, 60), 0, 'exit 0, though a daemon was stopped') or diag($log->text);
    $traces->none;
};

$t->done;
