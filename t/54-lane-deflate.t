# SPDX-License-Identifier: Apache-2.0
# AddOutputFilterByType DEFLATE does the same with the lane as without it: the same answers are
# compressed, with the same fields, to the same content.
use v5.36;

use Compress::Raw::Zlib;
use HA::Response qw(gunzip);
use HA::Test;
use List::Util qw(max);
use Time::HiRes qw(time);

my $t = HA::Test->new;
my ($app, $second) = map {$t->app("host$_")} qw(A B);

# One mount for each row, under its name.
my %rules = (
    deflate => '',
    edited => "Header unset Vary\nHeader set Content-Type text/x-after\nHeader append Content-Encoding x\n"
        . 'AddDefaultCharset utf-8',
    blind => 'RequestHeader unset Accept-Encoding',
    forced => 'RequestHeader set Accept-Encoding gzip',
);
my @names = sort keys %rules;
my $mounts = join '', map {
    my $balancer = $_ eq 'two' ? 'Two' : 'App';
    qq(ProxyPass "/$_" "balancer://$balancer/App"\nProxyPassReverse "/$_" "balancer://$balancer/App"\n)
        . "<Location /$_>\nAddOutputFilterByType DEFLATE text/html text/plain application/octet-stream\n"
        . ($rules{$_} // '') . "\n</Location>\n"
} @names, 'two';

sub server($name, $lane, $more = '')
{
    return $t->httpd(
        name => $name,
        modules => [qw(proxy proxy_http headers filter deflate)],
        haproxy => 1,
        log_level => 'info haproxy:debug',
        config => <<~"CONFIG",
            ServerName app.example
            UseCanonicalName Off
            <Proxy "balancer://App">
            BalancerMember "${\$app->url}" route=hostA
            ProxySet stickysession=zsessionid
            </Proxy>
            HABalancer App
            <Proxy "balancer://Two">
            BalancerMember "${\$app->url}" route=hostA
            BalancerMember "${\$second->url}" route=hostB
            </Proxy>
            HABalancer Two
            HALane $lane
            $more
            $mounts
            CONFIG
    );
}

# Head and content of an answer, one field a line, sorted; how its end is known is each one's own.
sub shown($answer)
{
    return 'no answer: ' . $answer->error . "\n" if !$answer->status;
    my @fields = map {lc($_->[0]) . ": $_->[1]\n"} grep {$_->[0] !~ /^(?:Date|Transfer-Encoding)$/i} @{$answer->fields};
    my $body = $answer->body;
    my $encoding = $answer->header('Content-Encoding') // '';
    if ($encoding =~ /^gzip/ && $body ne '') {
        $body = gunzip($body) // 'NO GZIP';
        @fields = grep {!/^content-length/} @fields;
    }
    @fields = grep {!/^content-length/} @fields if $body ne '' || $answer->{chunk_sizes};
    @fields = grep {$_ ne "content-length: 0\n"} @fields;
    return join '', $answer->status, "\n", (sort @fields), "\n$body";
}

my %server = (off => server('off', 'Off'), on => server('on', 'Require'));
my %client = map {$_ => $t->client(port => $server{$_}->port, host => 'app.example', cookies => 0)} qw(off on);

sub same($path, $what, %opt)
{
    my %got;
    my @headers = defined $opt{accept} ? ('Accept-Encoding' => $opt{accept}) : ();
    for my $which (qw(off on)) {
        $app->raw($opt{then} // 'stay', $opt{answer}, 1) if $opt{answer};
        my $answer = $client{$which}->request($opt{method} // 'GET', $path,
            headers => [@headers, @{$opt{headers} // []}]);
        $got{$which} = shown($answer);
        $got{"$which-answer"} = $answer;
    }
    is($got{on}, $got{off}, $what);
    return ($got{'on-answer'}, $got{'off-answer'});
}

my $text = join '', map {"line $_ of what is to be compressed\n"} 1 .. 20;

sub raw($status, $body, @fields)
{
    return join "\r\n", "HTTP/1.1 $status Whatever", @fields, '', $body;
}

sub counted($status, $body, @fields)
{
    return raw($status, $body, 'Content-Length: ' . length $body, @fields);
}

my $html = 'Content-Type: text/html';

subtest 'the same answers are compressed, with the same fields' => sub {
    for my $name (@names) {
        for my $accept ('gzip', undef) {
            my @to = (accept => $accept);
            my $for = "$name, " . ($accept // 'nothing') . ':';
            same("/$name/raw", "$for $_", @to, answer => counted(200, $text, "Content-Type: $_"))
                for 'text/html', 'text/plain; charset=x', 'Text/HTML', 'text/css', 'text/htmlx', 'text/html ;a=b';
            same("/$name/raw", "$for no type", @to, answer => counted(200, $text));
            same("/$name/raw", "$for status $_", @to, answer => counted($_, $text, $html)) for 201, 203, 404, 500;
            same("/$name/raw", "$for status $_", @to, answer => raw($_, '', $html, 'ETag: "x"')) for 204, 304;
            same("/$name/raw", "$for a part", @to,
                answer => counted(206, $text, $html, 'Content-Range: bytes 0-9/900'));
            same("/$name/raw", "$for a part that is none", @to,
                answer => counted(200, $text, $html, 'Content-Range: bytes 0-9/900'));
            same("/$name/raw", "$for encoded as $_", @to, answer => counted(200, $text, $html, "Content-Encoding: $_"))
                for 'br', 'identity', 'Identity', '8bit', 'identity, 7bit', 'identity, gzip', 'x-gzip', ',';
            same("/$name/raw", "$for ETag $_", @to, answer => counted(200, $text, $html, "ETag: $_"))
                for '"abc"', 'W/"abc"', '""', 'abc', '"abc';
            same("/$name/raw", "$for other fields", @to,
                answer => counted(200, $text, $html, 'Content-MD5: x', 'Accept-Ranges: bytes', 'Vary: Cookie',
                    'Vary: accept-encoding', 'Cache-Control: no-transform', 'Digest: x'));
            same("/$name/raw", "$for $_ bytes", @to, answer => counted(200, 'x' x $_, $html))
                for 0, 1, 67, 68, 69, 70, 500, 8000;
            same("/$name/raw", "$for $_ bytes in a chunk", @to,
                answer => raw(200, sprintf("%x\r\n%s\r\n0\r\n\r\n", $_, 'x' x $_), $html, 'Transfer-Encoding: chunked'))
                for 1, 68, 69, 500;
            same("/$name/raw", "$for an empty body in chunks", @to,
                answer => raw(200, "0\r\n\r\n", $html, 'Transfer-Encoding: chunked'));
            same("/$name/raw", "$for HEAD", @to, method => 'HEAD',
                answer => raw(200, '', $html, 'Content-Length: 5000', 'ETag: "x"'));
            same("/$name/raw", "$for until the end", @to, then => 'close', answer => raw(200, $text, $html));
        }
    }
};

subtest 'Accept-Encoding is read as mod_deflate reads it' => sub {
    for my $accept ('gzip', 'GZIP', 'x-gzip', 'gzip, deflate, br', 'deflate, gzip', 'br;q=1.0, gzip;q=0.8', 'identity',
        '*', 'gzip;q=0', 'gzip; q=0', 'gzip;q=0.0', 'gzip;q=0.000', 'gzip;q=0.001', 'gzip;q=0 , x', 'gzip ;q=0', 'gzip;q=',
        'gzip;q', 'gzip;Q=0', 'gzip;a=b;q=0', ', gzip', 'a,,gzip', 'a , gzip', 'a;q=0, gzip', 'a;q=0;x=y, gzip', '"gzip"',
        'a"b,"gzip', '', ' ', 'gzipped', 'a;b gzip', 'a gzip')
    {
        same('/deflate/raw', "\"$accept\"", accept => $accept, answer => counted(200, $text, $html));
    }
    same('/deflate/raw', 'on two lines', accept => 'br', headers => ['Accept-Encoding' => 'gzip'],
        answer => counted(200, $text, $html));
    same('/deflate/raw', 'refused on the first', accept => 'gzip;q=0', headers => ['Accept-Encoding' => 'gzip'],
        answer => counted(200, $text, $html));
};

subtest 'bodies of any length and framing come out as they went in' => sub {
    for my $path ('bytes?n=0', 'bytes?n=16000', 'bytes?n=17000', 'bytes?n=300000', 'bytes?n=5000000',
        'bytes?n=40000&close=1', 'chunked?n=100000&chunk=1000', 'chunked?n=3000000&chunk=70000',
        'chunked?n=5000&chunk=1000&trailer=1')
    {
        my ($on, $off) = same("/deflate/$path", $path, accept => 'gzip');
        my ($n, $m) = (length $on->body, length $off->body);
        cmp_ok(abs($n - $m), '<=', 300 + $m / 5, "to about the same size: $n and $m");
    }
    my $noise = join '', map {chr 128 + int rand 128} 1 .. 3000;
    same('/deflate/raw', 'what cannot be compressed', accept => 'gzip', answer => counted(200, $noise, $html));
};

subtest 'who speaks HTTP/1.0 gets a length, or the end of the connection' => sub {
    for my $path ('bytes?n=5000', 'bytes?n=300000', 'chunked?n=100000&chunk=1000') {
        my %got;
        for my $which (qw(off on)) {
            my $old = $t->client(port => $server{$which}->port);
            $old->send("GET /deflate/$path HTTP/1.0\r\nHost: app.example\r\nAccept-Encoding: gzip\r\n\r\n");
            my $answer = $old->read_response;
            is($answer->header('Transfer-Encoding'), undef, "$which: no chunks");
            $got{$which} = shown($answer);
        }
        is($got{on}, $got{off}, $path);
    }
};

subtest 'what the member has said so far is not held back' => sub {
    my $client = $t->client(port => $server{on}->port, host => 'app.example');
    my $began = time;
    $client->send("GET /deflate/chunked?n=4000&chunk=1000&delay=400 HTTP/1.1\r\nHost: app.example\r\n"
        . "Accept-Encoding: gzip\r\n\r\n");
    my ($all, $text, $first) = ('', '');
    my ($z) = Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP, -ConsumeInput => 0, -LimitOutput => 0);
    while ($all !~ /\r\n0\r\n\r\n$/ && time - $began < 8) {
        $all .= $client->read_raw;
        my $body = $all =~ s/^.*?\r\n\r\n//sr;
        my $bare = '';
        while ($body =~ s/^([0-9a-f]+)\r\n//) {
            $bare .= substr $body, 0, hex $1, '';
            $body =~ s/^\r\n//;
        }
        Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP)->inflate($bare, $text);
        $first //= time - $began if length $text >= 1000;
    }
    is(length $text, 4000, 'all of it');
    cmp_ok($first, '<', 0.9, 'the first chunk while the others were not there');
};

subtest 'long answers do not keep others waiting' => sub {
    my @long = map {$t->client(port => $server{on}->port, host => 'app.example')} 1 .. 4;
    my $get = "GET /deflate/bytes?n=20000000 HTTP/1.1\r\nHost: app.example\r\nAccept-Encoding: gzip\r\n\r\n";
    $_->send($get) for @long;
    my @took;
    for (1 .. 20) {
        my $began = time;
        is($client{on}->get('/deflate/plain')->status, 200, 'served');
        push @took, time - $began;
    }
    cmp_ok(max(@took), '<', 0.5, 'at once') or diag "@took";
    for my $client (@long) {
        my $answer = $client->read_response('GET', 60);
        is(length(gunzip($answer->body) // ''), 20_000_000, 'whole');
    }
};

subtest 'who leaves in the middle leaves nothing behind' => sub {
    for (1 .. 20) {
        my $client = $t->client(port => $server{on}->port, host => 'app.example');
        $client->send("GET /deflate/bytes?n=5000000 HTTP/1.1\r\nHost: app.example\r\nAccept-Encoding: gzip\r\n\r\n");
        $client->read_raw;
        $client->close;
    }
    same('/deflate/bytes?n=5000', 'and others are served', accept => 'gzip');
    $t->expect_log(qr{member hostA failed on /deflate/raw: a body that breaks its framing});
    $app->raw(close => raw(200, $text, $html, 'Content-Length: 9000'), 1);
    my $client = $t->client(port => $server{on}->port, host => 'app.example', retry => 0);
    my $cut = $client->get('/deflate/raw', headers => ['Accept-Encoding' => 'gzip']);
    is($cut->status, 0, 'an answer that is cut is cut for the client too');
};

# The first member's answer is in chunks, and broken before any of it was passed on.
subtest 'what was made of an answer that nobody got is not in the next one' => sub {
    $t->expect_log(qr{member hostA failed on /two/raw: a body that breaks its framing});
    my $failures = sub { $server{on}->log->count(qr{member hostA failed on /two/raw}) };
    $second->raw(stay => counted(200, $text, $html));
    for my $n (1 .. 4) {
        last if $failures->() == 2;
        $app->raw(close => raw(200, "no chunk\r\n", $html, 'Transfer-Encoding: chunked'));
        my $answer = $client{on}->get('/two/raw', headers => ['Accept-Encoding' => 'gzip']);
        is($answer->error // '', '', "answer $n");
        is(gunzip($answer->body) // 'NO GZIP', $text, 'is the second member\'s');
    }
    cmp_ok($failures->(), '>=', 1, 'and the first one was asked');
    $_->raw for $app, $second;
};

is($server{on}->log->count(qr/given back by the lane/), 0, 'the lane carried them all');

my $tuning = "DeflateCompressionLevel 1\nDeflateWindowSize 9\nDeflateMemLevel 1\nDeflateBufferSize 100\n";
for my $etag (qw(AddSuffix NoChange Remove)) {
    %server = map {$_ => server("$_-$etag", $_ eq 'on' ? 'Require' : 'Off', "${tuning}DeflateAlterETag $etag")} qw(off on);
    %client = map {$_ => $t->client(port => $server{$_}->port, host => 'app.example', cookies => 0)} qw(off on);
    subtest "tuned, with ETags $etag" => sub {
        same('/deflate/raw', 'an ETag', accept => 'gzip', answer => counted(200, $text, $html, 'ETag: "x"'));
        my ($on, $off) = same('/deflate/bytes?n=200000', 'long', accept => 'gzip');
        my ($n, $m) = (length $on->body, length $off->body);
        cmp_ok(abs($n - $m), '<=', 300 + $m / 5, "to about the same size: $n and $m");
    };
}

$t->done;
