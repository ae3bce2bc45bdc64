# SPDX-License-Identifier: Apache-2.0
# What seldom happens to the lane: requests that are sent again are counted once.
use v5.36;

use HA::Exchange qw(request);
use HA::Mount qw(balancer children);
use HA::Raw;
use HA::Test;

use constant REQUESTS => 10;

my $t = HA::Test->new;

# One never answers, the other does.
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
my $bad = HA::Raw->new($t, 'hostA', answer => sub ($request) { return ['close'] });
my $good = HA::Raw->new($t, 'hostB', answer => sub ($request) { return "${ok}right" });

my $proxy = $t->httpd(
    mpm => 'event',
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    mpm_config => children(1, 16),
    config => join '', <<~'CONFIG',
        HALane Require
        KeepAliveTimeout 30
        LogFormat "%U %>s %I" sizes
        CustomLog "@ROOT@/logs/access.log" sizes
        CONFIG
        balancer('Again', [$bad, $good], check => undef),
);

sub client
{
    return $t->client(port => $proxy->port, cookies => 0, retry => 0, timeout => 20);
}

sub access_log
{
    open(my $in, '<', $proxy->root . '/logs/access.log') or return '';
    local $/;
    return <$in>;
}

subtest 'a request that is sent again is counted once' => sub {
    $t->expect_log(qr/Again: member hostA failed on \S+: ended before its answer$|member hostA: .*suspect/);
    my $bytes = request(GET => '/Again/x');
    my $client = client();
    for (1 .. REQUESTS) {
        $client->send($bytes);
        is($client->read_response->body, 'right', 'answered');
    }
    cmp_ok(scalar($bad->ledger), '>', 0, 'some at the second attempt');
    $t->wait_for(sub { (() = access_log() =~ m{^/Again/}mg) == REQUESTS }, 10, 'the log');
    my %sizes = map {$_ => 1} access_log() =~ m{^/Again/x 200 (\d+)$}mg;
    is(join(' ', keys %sizes), length $bytes, 'the bytes that came are those of the request');
};

$t->done;
