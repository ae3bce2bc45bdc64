# SPDX-License-Identifier: Apache-2.0
# An instance that hangs takes no more than its part of the threads with it, and one whose health
# page is wrong still serves when there is nobody better.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);

sub balancer($name, $check)
{
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        BalancerMember "${\$a->url}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer $name
        HACheck $name $check
        ProxyPass "/$name" "balancer://$name/App"
        CONFIG
}

# One child, so that its threads are all there are. Probes never take a member down here.
my $threads = 32;
my $proxy = $t->httpd(
    modules    => [qw(proxy proxy_http)],
    haproxy    => 1,
    mpm_config => <<~"CONFIG",
        StartServers 1
        ServerLimit 1
        ThreadLimit $threads
        ThreadsPerChild $threads
        MaxRequestWorkers $threads
        MinSpareThreads 1
        CONFIG
    config => join '',
    balancer('App',   'uri=/App/health interval=1s fall=100'),
    balancer('wrong', 'uri=/no/such/page interval=100ms'),
    qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n),
);
$t->expect_log(qr/no member for \S+: every member that could be used is at its max or has stopped to answer/);

# mod_proxy's own words about the one that is killed.
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110|10404)/);

subtest 'when all fail their check, those that answer serve' => sub {
    ok($t->wait_for(qr/wrong: member $_: unknown -> down, status 404, 3 of 3 probes failed/), "$_ is down")
        for qw(hostA hostB);
    my $client = $t->client(port => $proxy->port, cookies => 0);
    is($client->get('/ha-health/wrong')->status, 503, 'ha-health says so');
    is(join(' ', map {$client->get('/wrong/plain')->status} 1 .. 10), join(' ', (200) x 10), 'and they serve');
    is($client->get('/wrong/plain', headers => {Cookie => "zsessionid=s.$_"})->instance, $_, "$_ its sessions")
        for qw(hostA hostB);
    $t->kill('hostA');
    is(spread($client, '/wrong/plain', 10), 'hostB:10', 'one that does not answer at all gets nothing');
    $t->start('hostA');
};

subtest 'an instance that hangs leaves threads to the others' => sub {
    $t->wait_for(qr/App: member hostA: (?:unknown -> up|up, no longer suspect)/);
    my %common = (port => $proxy->port, path => '/App/plain', rate => 50);
    $a->pause;
    my $bound = $t->load(
        %common,
        count   => 400,
        timeout => 20,
        headers => {Cookie => 'zsessionid=s.hostA'},
        ok      => qr/^(?:200|503)$/
    );
    my $others = $t->load(%common, count => 400, headers => {Cookie => 'zsessionid=s.hostB'});
    my $result = $others->wait;
    is("$result->{ok} ok, $result->{failed} failed", '400 ok, 0 failed', 'sessions of the other one are served');
    ok($t->wait_for(qr/App: member hostA: up, now suspect, no answers$/), 'the log says so');
    is($t->client(port => $proxy->port)->get('/App/plain')->instance, 'hostB', 'new sessions go there too');
    $a->resume;
    $result = $bound->wait;
    is("$result->{ok} ok, $result->{failed} failed", '400 ok, 0 failed', 'its own are answered, or refused at once');
    my $held = grep {$_->{path} =~ /plain/} $a->ledger;
    cmp_ok($held, '>=', $threads * 3 / 4, 'it held three quarters of the threads');
    cmp_ok($held, '<', $threads, 'and got one more each half second, up to half of the rest');
    my $client = $t->client(port => $proxy->port, headers => {Cookie => 'zsessionid=s.hostA'});
    ok($t->wait_for(sub { $client->get('/App/plain')->status == 200 }), 'then it serves its sessions');
    ok($t->wait_for(qr/App: member hostA: (?:unknown -> up|up, no longer suspect), status 200/), 'and a probe has cleared it');
};

$t->done;
