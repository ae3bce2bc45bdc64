# SPDX-License-Identifier: Apache-2.0
# The lane: requests are carried by the loop, and what it does not understand goes back to httpd.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $own = $t->port;
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http env)],
    haproxy => 1,
    config  => <<~"CONFIG",
        LogFormat '%h %l %u "%r" %>s %b %O %I %{X-Who}i %{BALANCER_WORKER_ROUTE}e %v %U %q %m %H %X %k' all
        CustomLog "\@ROOT\@/logs/access.log" all
        <Proxy "balancer://App">
        BalancerMember "${\$a->url}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer App
        HACheck App uri=/App/health
        HALane On
        HAListen 127.0.0.1:$own
        ProxyPass "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        CONFIG
);
my $client = $t->client(port => $proxy->port);

subtest 'a request is carried' => sub {
    my $answer = $client->get('/App/plain');
    is($answer->status, 200, 'answered') or diag explain $answer;
    is(spread($client, '/App/plain', 10), 'hostA:5 hostB:5', 'by all members');
};

subtest 'what is not the lane\'s goes back on the same connection' => sub {
    $t->write_file($proxy->root . '/htdocs/static.txt', 'static');
    is($client->get('/App/plain')->status, 200, 'through the lane');
    is($client->get('/static.txt')->body, 'static', 'a file');
    is($client->get('/App/plain')->status, 200, 'and through mod_proxy');
};

subtest 'the lane accepts on an address of its own' => sub {
    my $direct = $t->client(port => $own);
    is($direct->get('/App/plain')->status, 200, 'through the lane');
    is($direct->get('/static.txt')->body, 'static', 'a file');
    is($direct->get('/App/plain')->status, 200, 'and through mod_proxy');
    $proxy->graceful;
    is($t->client(port => $own)->get('/App/plain')->status, 200, 'after a graceful restart');
    is($client->get('/App/plain')->status, 200, 'on a connection from before it');
};

sub read_lines($file)
{
    open my $in, '<', $file or return;
    return <$in>;
}

subtest 'the access log says what it would say of any request' => sub {
    my $file = $proxy->root . '/logs/access.log';
    my $one = $t->client(port => $proxy->port);
    my $body = $one->get('/App/bytes?n=5000', headers => {'X-Who' => 'me', Cookie => 'zsessionid=s.hostB'})->body;
    is(length $body, 5000, 'answered');
    my $line;
    ok($t->wait_for(sub { ($line) = grep {/bytes/} read_lines($file); $line }), 'a line');
    like($line, qr{^127\.0\.0\.1 - - "GET /App/bytes\?n=5000 HTTP/1\.1" 200 5000 5\d\d\d \d+ me hostB localhost /App/bytes \?n=5000 GET HTTP/1\.1 \+ 0$}, 'with all that was asked for');
};

subtest 'lines that are written together stay whole and in order' => sub {
    my $count = 90;
    my $one = $t->client(port => $proxy->port);
    $one->connect;
    $one->send(join '', map {"GET /App/plain?line=$_ HTTP/1.1\r\nHost: localhost\r\nX-Who: " . 'w' x $_ . "\r\n\r\n"} 1 .. $count);
    is(scalar(grep {$one->read_response->status == 200} 1 .. $count), $count, 'answered');
    my @lines;
    my $all = sub { @lines = grep {/line=/} read_lines($proxy->root . '/logs/access.log'); @lines == $count };
    ok($t->wait_for($all), 'as many lines');
    my @wrong = grep {$lines[$_ - 1] !~ m{^\S+ - - "GET /App/plain\?line=$_ HTTP/1\.1" 200 .* w{$_} host[AB] .*\n\z}} 1 .. $count;
    is("@wrong", '', 'each is whole and in its place');
};

$t->done;
