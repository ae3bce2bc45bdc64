# SPDX-License-Identifier: Apache-2.0
# A session that moves in the lane keeps its own id, whatever other requests come while its new
# member thinks, and whatever RequestHeader has done to its cookie.
use v5.36;

use HA::Mount qw(one_child);
use HA::Test;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http headers)],
    haproxy => 1,
    mpm_config => one_child(25),
    config => <<~"CONFIG",
        LogFormat "%{BALANCER_SESSION_ROUTE}e %{X-Who}i" routes
        CustomLog "\@ROOT\@/logs/access.log" routes
        <Proxy "balancer://App">
        BalancerMember "${\$a->url}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer App
        HALane Require
        ProxyPass "/App" "balancer://App/App"
        <Location "/App">
        RequestHeader append Cookie "own=1"
        </Location>
        CONFIG
);
my $access_log = HA::Log->new($proxy->root . '/logs/access.log');
# hostA is gone on purpose.
$t->expect_log(qr/App: member hostA failed on|App: member hostA: .*suspect/);

sub ask($who, $session)
{
    my $client = $t->client(port => $proxy->port, cookies => 0);
    $client->send($client->format_request(GET => '/App/plain', headers => [Cookie => "zsessionid=$session", 'X-Who' => $who]));
    return $client;
}

subtest 'a session that moves' => sub {
    $a->kill;
    $b->barrier_hold;
    my $moving = ask('moving', 'session1.hostA');
    $b->barrier_wait(1);
    my @others = map {ask("other$_", "xxxxxxxxxxxxxxxx$_.hostB")} 1 .. 3;
    $b->barrier_wait(4);
    $b->barrier_open;
    my $answer = $moving->read_response;
    is($answer->status, 200, 'is answered');
    like($answer->header('Set-Cookie') // '', qr/^zsessionid=session1\.hostB;/, 'by its own name');
    is($_->read_response->status, 200, 'others too') for @others;
    ok($t->wait_for(sub { $access_log->take(qr/^hostA moving$/) }), 'and its own route is logged');
};

$t->done;
