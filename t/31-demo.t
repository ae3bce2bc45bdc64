# SPDX-License-Identifier: Apache-2.0
# The demo keeps its promise: each step comes out, and nothing is left however it ends.
use v5.36;

use HA::Test;
use HA::Traces;

my $t = HA::Test->new;
my $top = HA::Test::top_srcdir();
my $traces = HA::Traces->new($t);

# Starts the demo without setup and build. Its pid, and the log of what it says.
sub demo($name, @args)
{
    return $traces->start($name, '-I', "$top/t/lib", "$top/tools/demo.pl", @args);
}

subtest 'each step comes out with --once' => sub {
    my ($pid, $log) = demo('once', '--once');
    is($traces->exit_code($pid, 120), 0, 'exit 0') or diag($log->text);
    like($log->text, qr{^  ok      the log says who carries the requests: $_: /$_: in the lane$}m, "$_: the lane")
        for qw(App Shop);
    like($log->text, qr/^  ok      \d+ requests were sent all the while, 0 failed$/m, 'no request');
    like($log->text, qr/kill -9 \d+    # (shop[AB])\n  ok .*: (?!\1)shop[AB] has tea,milk,sugar$/m,
        'the cart is on the other instance');
    like($log->text, qr/kill -9 \d+    # memcached.*\n  ok .* has tea,milk,sugar,lemon$/m, 'and without a memcached');
    like($log->text, qr/kill -9 \d+    # shop[AB]\n  ok .* has tea,milk,sugar,lemon,rum$/m,
        'which alone has it then');
    $traces->none;
};

subtest 'Ctrl-C ends what keeps running after the story' => sub {
    my ($pid, $log) = demo('on');
    $t->wait_for(sub { $log->text =~ /Ctrl-C ends it/ }, 120, 'the end of the story');
    my ($port) = $log->text =~ m{http://127\.0\.0\.1:(\d+)/App/ };
    my $client = $t->client(port => $port);
    is($client->get('/App/')->status, 200, 'the application can be looked at');
    is($client->get('/ha-health/App')->body, "usable 2 of 2, open to new sessions 2, in flight 0\n",
        'and its health');
    like($client->get('/Shop/cart?add=tea')->body, qr/ items=tea /, 'the shop too');
    my ($instance) = $log->text =~ /hostA has pid (\d+)/;
    kill 'STOP', $instance;
    $t->signal($pid, 'INT');
    is($traces->exit_code($pid, 30), 0, 'exit 0, though an instance was stopped') or diag($log->text);
    $traces->none;
};

my @moments = (
    ['the start of apache2' => qr/apache2 starts/, qw(INT TERM)],
    ['the loss' => qr/kill -9/, qw(INT TERM)],
    ['the second act' => qr/memcached listens/, qw(INT)],
);
for my $moment (@moments) {
    my ($what, $seen, @signals) = @$moment;
    for my $signal (@signals) {
        subtest "SIG$signal stops it during $what" => sub {
            my ($pid, $log) = demo("$what $signal");
            $t->wait_for(sub { $log->text =~ $seen }, 120, $what);
            $t->signal($pid, $signal);
            is($traces->exit_code($pid, 30), 128 + {INT => 2, TERM => 15}->{$signal}, 'exit 128 + signal')
                or diag($log->text);
            $traces->none;
        };
    }
}

$t->done;
