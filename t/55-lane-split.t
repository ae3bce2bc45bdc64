# SPDX-License-Identifier: Apache-2.0
# However the bytes of requests and answers are cut on their way, they mean the same.
use v5.36;

use Digest::SHA qw(sha256_hex);

use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    config => <<~"CONFIG",
        <Proxy "balancer://App">
        BalancerMember "${\$app->url}" route=hostA
        </Proxy>
        HABalancer App
        HALane On
        ProxyPass "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        CONFIG
);
$t->write_file($proxy->root . '/htdocs/static.txt', 'static');
# What both say of what is bad on purpose.
$t->expect_log(qr/App: member hostA failed on|App: member hostA: .*suspect|AH01095|AH00898/);
my $host = 'Host: app.example';

sub request($line, @fields)
{
    return join '', map {"$_\r\n"} $line, $host, @fields, '';
}

# Waits until the server has read all that these clients have sent: its ends of their connections in
# the kernel's table have nothing in their queues.
sub let_it_be_read(@clients)
{
    my %waits = map {sprintf('%04X', $_->socket->sockport) => 1} @clients;
    my $line = sprintf '^\s*\d+: \w+:%04X \w+:(\w+) \w\w \w+:(\w+) ', $proxy->port;
    $t->wait_for(
        sub {
            open(my $in, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!\n";
            return !grep {/$line/ && $waits{$1} && hex $2} <$in>;
        }
    );
    return;
}

# The answers to requests of these methods, as text.
sub answers($client, @methods)
{
    my $text = '';
    for my $method (@methods) {
        my $answer = $client->read_response($method);
        $text .= join ' ', map({$_->status} @{$answer->interim}), $answer->status, $answer->error // '', $answer->body . "\n";
    }
    return $text;
}

sub client
{
    return $t->client(port => $proxy->port, cookies => 0, keep_alive => 1);
}

# Sends each list of pieces on a connection of its own, a piece after the one before was read, all of
# them side by side. The answers of each.
sub sent_in_pieces(@jobs)
{
    my @clients = map {client()} @jobs;
    for my $client (@clients) {
        $client->connect;
        setsockopt $client->socket, Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1;
    }
    for (my $n = 0; grep {$n < @{$_->{pieces}}} @jobs; $n++) {
        my @busy = grep {$n < @{$jobs[$_]{pieces}}} 0 .. $#jobs;
        $clients[$_]->send($jobs[$_]{pieces}[$n]) for @busy;
        let_it_be_read(@clients[@busy]);
    }
    return map {answers($clients[$_], @{$jobs[$_]{methods}})} 0 .. $#jobs;
}

my %requests = (
    'a GET' => [request('GET /App/echo?a=b HTTP/1.1', 'Cookie: a=b', 'Accept:*/*', 'X-Empty:', "X-Blanks: \t y "), 'GET'],
    'an old GET' => [request('GET /App/echo HTTP/1.0', 'Connection: keep-alive'), 'GET'],
    'a HEAD' => [request('HEAD /App/echo HTTP/1.1'), 'HEAD'],
    'a POST' => [request('POST /App/upload HTTP/1.1', 'Content-Length: 20') . 'abcdefghijklmnopqrst', 'POST'],
    'chunks' => [
        request('POST /App/upload HTTP/1.1', 'Transfer-Encoding: chunked')
            . "5;ext=\"a\\\"b\"\r\nabcde\r\n00a \r\n0123456789\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n",
        'POST'
    ],
    'a pipeline' => [
        request('GET /App/plain HTTP/1.1') . request('POST /App/upload HTTP/1.1', 'Content-Length: 3') . 'abc'
            . request('POST /App/upload HTTP/1.1', 'Transfer-Encoding: chunked') . "3\r\nabc\r\n0\r\n\r\n"
            . request('HEAD /App/plain HTTP/1.1') . request('GET /App/plain HTTP/1.1'),
        qw(GET POST POST HEAD GET)
    ],
    'one that goes back' => [request('GET /static.txt HTTP/1.1', 'X: y'), 'GET'],
    'one that goes back at its last byte' => [request('GET /App/echo HTTP/1.1', 'X: y', "Content-Length: +1"), 'GET'],
    'one that goes back late' => [request('GET /App/plain HTTP/1.1') . request('GET /static.txt HTTP/1.1') . request('GET /App/plain HTTP/1.1'),
        qw(GET GET GET)],
    'a bad one' => ["GET /App/echo HTTP/1.1\r\n$host\r\nX : y\r\n\r\n", 'GET'],
    'bad chunks' => [request('POST /App/upload HTTP/1.1', 'Transfer-Encoding: chunked') . "3\r\nabc\r\nx\r\n", 'POST'],
);

subtest 'requests' => sub {
    my @names = sort keys %requests;
    my %good;
    for my $name (@names) {
        my ($bytes, @methods) = @{$requests{$name}};
        ($good{$name}) = sent_in_pieces({pieces => [$bytes], methods => \@methods});
        unlike($good{$name}, qr/^0/m, "$name: whole") or diag $good{$name};
        my @cuts = 1 .. length($bytes) - 1;
        my @got;
        # What is given back half holds a thread of httpd until the rest is there.
        for (my @left = @cuts; @left;) {
            push @got, sent_in_pieces(map {{pieces => [unpack "a$_ a*", $bytes], methods => \@methods}} splice @left, 0, 20);
        }
        my @bad = map {"at $cuts[$_]: $got[$_]"} grep {$got[$_] ne $good{$name}} 0 .. $#got;
        is("@bad", '', "$name: cut anywhere");
    }
    my @got = sent_in_pieces(map {my ($bytes, @methods) = @$_; {pieces => [split //, $bytes], methods => \@methods}} @requests{@names});
    is($got[$_], $good{$names[$_]}, "$names[$_]: a byte at a time") for 0 .. $#names;
};

subtest 'an upload that is larger than any block' => sub {
    my $body = HA::Client::content(700_000);
    my $sum = length($body) . ' ' . sha256_hex($body) . "\n";
    my @jobs;
    for my $size (4_999, 16_352, 65_536, 300_001) {
        my @pieces = unpack "(a$size)*", $body;
        my $head = request('POST /App/upload HTTP/1.1', 'Content-Length: ' . length $body);
        push @jobs, {name => "in pieces of $size", pieces => [$head, @pieces], methods => ['POST']};
        my @chunks = map {sprintf("%x\r\n", length), $_, "\r\n"} @pieces;
        $head = request('POST /App/upload HTTP/1.1', 'Transfer-Encoding: chunked');
        push @jobs, {name => "in chunks of $size", pieces => [$head, @chunks, "0\r\n\r\n"], methods => ['POST']};
    }
    my @got = sent_in_pieces(@jobs);
    is($got[$_], "200  $sum\n", $jobs[$_]{name}) for 0 .. $#jobs;
};

# --- answers --------------------------------------------------------------------------------------

my %get = map {$_ => request("GET /App/$_ HTTP/1.1")} 'echo', 'chunked?n=60&chunk=7&trailer=1', 'bytes?n=200', 'bytes?n=200&close=1',
    'bytes?n=3&close=1', 'bytes?n=0', 'status?code=204', 'status?code=304', 'status?code=500';
my %old = map {("old $_" => $get{$_} =~ s/1.1/1.0/r)} 'chunked?n=60&chunk=7&trailer=1', 'bytes?n=200&close=1', 'bytes?n=200';

subtest 'answers' => sub {
    my %ask = (%get, %old, 'HEAD' => request('HEAD /App/bytes?n=200 HTTP/1.1'),
        'Expect' => request('POST /App/upload HTTP/1.1', 'Content-Length: 5', 'Expect: 100-continue') . 'abcde');
    my %good;
    for my $name (sort keys %ask) {
        my $client = client();
        $client->send($ask{$name});
        $good{$name} = answers($client, $name =~ /^HEAD/ ? 'HEAD' : 'GET');
        unlike($good{$name}, qr/^0/, "$name: whole");
    }
    for my $size (1 .. 9, 13, 17, 25, 40, 64, 100, 150) {
        $app->pieces($size);
        my %client = map {$_ => client()} keys %ask;
        $client{$_}->send($ask{$_}) for keys %ask;
        my @bad;
        for my $name (sort keys %ask) {
            my $got = answers($client{$name}, $name =~ /^HEAD/ ? 'HEAD' : 'GET');
            push @bad, "$name: $got" if $got ne $good{$name};
        }
        is("@bad", '', "in pieces of $size");
    }
    $app->pieces(0);
};

subtest 'heads and chunks by hand' => sub {
    my $ok = 'HTTP/1.1 200 OK';
    my %raw = (
        'folded, with bare line ends' => ["$ok\nX: a\n b\nContent-Length: 5\n\nabcde", "200  abcde\n"],
        'interim' => ["HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 102 P\r\n\r\n$ok\r\nContent-Length: 2\r\n\r\nhi", "103 102 200  hi\n"],
        'padded chunks' => ["$ok\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n02;x=\"y\"\r\nde\r\n00\r\nT: 1\r\n\r\n", "200  abcde\n"],
        'bad chunks' => ["$ok\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n", qr/^(?:0 closed|502)/],
        'a bad head' => ["$ok\r\nX: a\x01b\r\n\r\n", qr/^502/],
    );
    for my $size (1, 2, 3, 5, 11, 30, 60) {
        $app->pieces($size);
        for my $name (sort keys %raw) {
            $app->raw('close', $raw{$name}[0], 1);
            my $client = client();
            $client->send($get{echo});
            my $got = answers($client, 'GET');
            my $good = $raw{$name}[1];
            ref $good ? like($got, $good, "$name: $size") : is($got, $good, "$name: $size");
        }
        $app->pieces(0);
    }
};
$t->done;
