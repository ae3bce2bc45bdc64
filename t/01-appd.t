# SPDX-License-Identifier: Apache-2.0
# The demo and test application by itself: what the other tests rely on.
use v5.36;

use Digest::SHA qw(sha256_hex);
use Time::HiRes qw(time);

use HA::Test;
use HA::ZoneField qw(cart said told);

my $t = HA::Test->new;
my $app = $t->app('hostA', unix => 1);

# The status of a request given byte by byte, and whether the connection stays.
sub judge($bytes)
{
    my $client = $app->client;
    $client->send($bytes);
    my $status = $client->read_response->status;
    return $status . ($client->socket ? ' stays' : ' closed');
}

# Closes connections until n have been: one just answered waits for a request only a moment later.
# How many were closed.
sub closes_idle($n)
{
    my $closed = 0;
    eval { $t->wait_for(sub { ($closed += $app->close_idle) >= $n }) };
    return $closed;
}

subtest 'sessions' => sub {
    my $client = $app->client;
    my $first = $client->get('/App/');
    my $new = qr/^zsessionid=[0-9a-f]{32}\.hostA; Path=\/App; HttpOnly$/;
    like($first->header('Set-Cookie'), $new, 'new');
    like($client->get('/App/')->body, qr/^hostA visits=2 session=[0-9a-f]{32}$/, 'known');
    my $foreign = $client->get('/App/', headers => {Cookie => 'a=1; zsessionid=abc-DEF_1.x.hostB'});
    is($foreign->body, "hostA visits=1 session=abc-DEF_1.x\n", 'of another instance: adopted');
    is($foreign->header('Set-Cookie'), undef, 'without a cookie');
    my $own = $client->get('/App/', headers => {Cookie => 'zsessionid=abcdef.hostA'});
    like($own->header('Set-Cookie'), $new, 'unknown with its own route: new');
    my $bad = $client->get('/App/', headers => {Cookie => 'zsessionid=<script>.hostB'});
    like($bad->body, qr/^hostA visits=1 session=[0-9a-f]{32}$/, 'an id with bad characters: new');
    my $plain = $client->get('/App/plain', headers => {Cookie => 'xzsessionid=1'});
    is($plain->header('Set-Cookie'), undef, 'a plain page has none');
    my $page = $client->get('/App/', headers => {Accept => 'text/html'});
    like($page->body, qr/<b>hostA<\/b>/, 'a page for people');

    my $reissuing = $t->app('hostR', reissue => 1, route => 'r9');
    my @foreign = (headers => {Cookie => 'zsessionid=abcdef.hostB'});
    my $adopted = $reissuing->client->get('/App/', @foreign)->header('Set-Cookie');
    is($adopted, 'zsessionid=abcdef.r9; Path=/App; HttpOnly', 'reissued on demand');
};

subtest 'requests are read as RFC 9112 says' => sub {
    my $h = "Host: x\r\n";
    my $get = 'GET /App/plain HTTP/1.1';
    is(judge("$get\r\n$h\r\n"), '200 stays', 'a good one');
    is(judge("\r\n$get\r\n$h\r\n"), '200 stays', 'an empty line before it');
    is(judge("GET http://x/App/plain HTTP/1.1\r\n$h\r\n"), '200 stays', 'absolute form');
    is(judge("GET /App/plain HTTP/1.0\r\n\r\n"), '200 closed', 'HTTP/1.0');
    my $kept = "GET /App/plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    is(judge($kept), '200 stays', 'HTTP/1.0 that stays');
    is(judge("$get\r\n${h}Connection: x, close\r\n\r\n"), '200 closed', 'close');
    is(judge("$get\r\n\r\n"), '400 closed', 'no Host');
    is(judge("$get\n$h\r\n"), '400 closed', 'a bare LF');
    is(judge("$get\r\n$h folded\r\n\r\n"), '400 closed', 'a folded line');
    is(judge("$get\r\n${h}A : b\r\n\r\n"), '400 closed', 'a blank before the colon');
    is(judge("$get\r\n${h}A: \x01\r\n\r\n"), '400 closed', 'a control character');
    is(judge("GET  /App/plain HTTP/1.1\r\n$h\r\n"), '400 closed', 'two blanks');
    is(judge("GET /App/plain HTTP/2.0\r\n$h\r\n"), '505 closed', 'another version');
    is(judge("$get\r\n${h}Content-Length: 1x\r\n\r\n"), '400 closed', 'a length that is none');
    my $sized = "$get\r\n${h}Content-Length: 1";
    is(judge("$sized\r\nContent-Length: 2\r\n\r\n"), '400 closed', 'two lengths');
    is(judge("$sized\r\nTransfer-Encoding: chunked\r\n\r\n"), '400 closed', 'both framings');
    is(judge("$get\r\n${h}Transfer-Encoding: gzip\r\n\r\n"), '501 closed', 'another coding');
    my $chunked = "POST /App/upload HTTP/1.1\r\n${h}Transfer-Encoding: chunked\r\n\r\n";
    is(judge("${chunked}3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n"), '200 stays', 'chunks with a trailer');
    is(judge("${chunked}3\r\nabcd\r\n0\r\n\r\n"), '400 closed', 'a chunk that is too long');
    is(judge("${chunked}g\r\n"), '400 closed', 'a size that is none');
    is(judge("$get\r\n${h}X: @{['y' x 70000]}\r\n\r\n"), '431 closed', 'a head that is too long');
    is($app->count->{malformed}, 14, 'those are counted');
};

subtest 'answers' => sub {
    my $client = $app->client;
    my $content = HA::Client::content(2_000_000);
    ok($client->get('/App/bytes?n=2000000')->body eq $content, 'sized');
    my $chunked = $client->get('/App/chunked?n=1000&chunk=300&trailer=1');
    is("@{$chunked->{chunk_sizes}}", '300 300 300 100', 'chunks of the size asked for');
    is($chunked->trailer('X-Trailer'), 'done', 'with a trailer');
    is($client->get('/App/status?code=204')->status, 204, 'a status');
    is($client->get('/App/status?code=99')->status, 400, 'a bad one');
    is($client->get('/App/upload')->header('Allow'), 'POST, PUT', 'a method that is not allowed');
    is($client->get('/Apple')->status, 404, 'a path of somebody else');
    my $echo = $client->get('/App/echo?q=1', headers => {'X-Y' => 'z'})->body;
    my $sent = "GET /App/echo?q=1 HTTP/1.1\r\nHost: localhost\r\nX-Y: z\r\n\r\n";
    is($echo, $sent, 'the head as received');
    is($client->head('/App/chunked?n=10')->body, '', 'HEAD of chunks');
    is($client->get('/App/health')->body, "ok\n", 'health');
    is($client->retried, 0, 'all on one connection');
    ok($client->get('/App/bytes?n=2000000&close=1')->body eq $content, 'ended by the connection');
    my $local = $app->client(path => $app->socket);
    is($local->get('/App/plain')->body, "hostA\n", 'over a Unix-domain socket');

    my $old = $app->client;
    $old->send("GET /App/chunked?n=100 HTTP/1.0\r\n\r\n");
    is($old->read_response->body, substr($content, 0, 100), 'HTTP/1.0 gets no chunks');
};

my $polite_post =
    "POST /App/upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

subtest 'pipelining and 100-continue' => sub {
    my $client = $app->client;
    my $post = $client->format_request(POST => '/App/upload', body => 'abc');
    my $get = $client->format_request(GET => '/App/bytes?n=3');
    $client->send($get . $post . $client->format_request(HEAD => '/App/plain'));
    is($client->read_response->body, '000', 'first');
    is($client->read_response->body, '3 ' . sha256_hex('abc') . "\n", 'second');
    is($client->read_response('HEAD')->header('Content-Length'), 6, 'third');

    $client->send($polite_post);
    is($client->read_raw, "HTTP/1.1 100 Continue\r\n\r\n", 'invited');
    $client->send('abc');
    is($client->read_response->status, 200, 'and answered');
};

subtest 'the ledger tells how far a request got' => sub {
    $app->ledger_clear;
    my $total = $app->count->{requests};
    my $client = $app->client;
    $client->send("POST /App/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    $t->wait_for(sub { ($app->ledger)[0] && ($app->ledger)[0]{length} == 3 });
    is(($app->ledger)[0]{phase}, 'head', 'in its body');
    $app->hang;
    $client->send('defghij');
    $t->wait_for(sub { $app->count->{hanging} == 1 });
    is(($app->ledger)[0]{phase}, 'body', 'before its answer');
    $app->release;
    $client->read_response;
    $t->wait_for(sub { ($app->ledger)[0]{phase} eq 'answered' });
    is(($app->ledger)[0]{sequence}, $total + 1, 'answered, with a number that goes on');
    $client->get('/App/health');
    is(scalar($app->ledger), 1, 'health requests are not in it');
};

subtest 'a ledger in a file stays when the instance is killed' => sub {
    my $other = $t->app('hostL', ledger => 1);
    for my $tag ('one', 'two', 'two') {
        $other->client->post('/App/upload', 'abc', headers => {'X-Request-Tag' => $tag});
        $other->kill;
        $other->start;
    }
    is_deeply($other->seen, {one => 1, two => 2}, 'with all that its processes have seen');
};

subtest 'it answers any status' => sub {
    my $client = $app->client;
    my @seen;
    for my $status (200 .. 599) {
        $app->status($status, 1);
        my $r = $client->get('/App/plain');
        push @seen, $status if $r->status != $status || $r->instance ne 'hostA';
    }
    is("@seen", '', 'each from 200 to 599');
    is($client->get('/App/plain')->status, 200, 'once');
    is($client->retried, 0, 'all on one connection');
    $app->status(503);
    is(join(' ', map {$client->get('/App/plain')->status} 1 .. 3), '503 503 503', 'or all of them');
    is($client->get('/App/health')->status, 200, 'but not its health');
    $app->status(0);
    is($client->get('/App/plain')->status, 200, 'until told otherwise');
    ok(!eval { $app->control("status $_") }, "$_ is none") for 1, 199, 1000, 'x';
    is($client->get('/App/status?code=418')->status, 418, 'or that of the request');
};

subtest 'it is slow on command' => sub {
    my $client = $app->client;
    $app->slow(800);
    my $begin = time;
    is($client->get('/App/plain')->status, 200, 'answered');
    cmp_ok(time - $begin, '>=', 0.8, 'but late');
    $begin = time;
    is($client->get('/App/health')->status, 200, 'its health');
    cmp_ok(time - $begin, '<', 0.8, 'at once');
    $app->slow(0);
    $begin = time;
    $client->get('/App/plain');
    cmp_ok(time - $begin, '<', 0.8, 'then it is not');
};

subtest 'its health fails and hangs on command' => sub {
    my $client = $app->client;
    $app->health('fail');
    is($client->get('/App/health')->status, 503, 'failed');
    is($client->get('/App/plain')->status, 200, 'requests are served');
    $app->health('hang');
    $client->send($client->format_request(GET => '/App/health'));
    is($client->read_raw(timeout => 0.05), '', 'hangs');
    is($app->client->get('/App/plain')->status, 200, 'requests are served all the same');
    $app->health('ok');
    is($client->read_response->status, 200, 'answered when it is well again');
};

subtest 'a barrier holds requests, and opens' => sub {
    $app->barrier_hold;
    my @clients = map {$app->client} 1 .. 3;
    $_->send($_->format_request(GET => '/App/plain')) for @clients;
    $app->barrier_wait(3);
    is($app->count->{held}, 3, 'three are held');
    is(join('', map {$_->read_raw(timeout => 0.02)} @clients), '', 'none is answered');
    $app->barrier_open;
    is(join(' ', map {$_->read_response->status} @clients), '200 200 200', 'now all are');
    is($app->client->get('/App/plain')->status, 200, 'and no more are held');
};

subtest 'ways to misbehave' => sub {
    my $client = $app->client(retry => 0);
    for (['before', 0, 0], ['head', 50, 150], ['body', 600, 900]) {
        my ($where, $min, $max) = @$_;
        $app->reset($where, 1);
        my $r = $client->get('/App/bytes?n=1000');
        like($r->error, qr/reset by peer/, "reset $where");
        my $got = length($r->{received} // '');
        ok($got >= $min && $got <= $max, "after $got bytes");
    }
    is($client->get('/App/plain')->status, 200, 'then it behaves');
    is(closes_idle(1), 1, 'an idle connection is closed');
    ok($client->closed, 'and the client sees it');

    $app->hang('head');
    $client->send($polite_post);
    $t->wait_for(sub { $app->count->{hanging} == 1 });
    is($client->read_raw(timeout => 0.05), '', 'hang head: not even invited');
    $app->hang('all');
    my $health = $app->client;
    $health->send($health->format_request(GET => '/App/health'));
    $t->wait_for(sub { $app->count->{hanging} >= 1 });
    is($health->read_raw(timeout => 0.05), '', 'hang all: no health');
    $app->release;
    is($health->read_response->status, 200, 'released');

    $app->refuse;
    like($app->client->get('/App/plain')->error, qr/^connect: Connection refused/, 'refuse');
    $app->accept;
    is($app->client->get('/App/plain')->status, 200, 'accept');
    ok(!eval { $app->control('bogus') }, 'an unknown command');
    like($@, qr/no such command, use one of: slow MS;/, 'is explained');
    ok(!eval { $app->barrier_wait(1, 20) }, 'a barrier that nobody reaches');
    like($@, qr/held only 0/, 'says how many did');
};

subtest 'answers that are no good HTTP' => sub {
    my $client = $app->client(retry => 0);
    my $bytes = join '', map {chr} 0 .. 255;
    $app->raw('close', "HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n$bytes", 1);
    ok($client->get('/App/plain')->body eq $bytes, 'any byte');
    ok($client->closed, 'then it closes');
    $app->raw('reset', "HTTP/1.1 200 OK\r\n", 1);
    like($client->get('/App/plain')->error, qr/reset by peer/, 'or resets');
    $app->raw('stay', "no HTTP\r\n\r\n");
    for my $time (1 .. 2) {
        my $r = $client->get('/App/plain');
        is($r->{received}, "no HTTP\r\n\r\n", "or stays, time $time");
    }
    is($app->client->get('/App/health')->status, 200, 'its health is well');
    $app->raw;
    is($client->get('/App/plain')->status, 200, 'then it behaves');
    is(($app->ledger)[-2]{phase}, 'answered', 'the ledger has them as answered');
    ok(!eval { $app->control("raw $_"); 1 }, "raw $_ is refused") for '', 'stay', 'bogus x', 'stay \\y', 'stay \\x1';

    for (['head', qr/^HTTP\/1.1 200 OK\r\n(?:X-Flood: \w+\r\n){1000}/],
        ['interim', qr/^(?:HTTP\/1.1 102 Processing\r\n\r\n){1000}/],
        ['chunk', qr/\r\n\r\n5;(?:flood=\w+;){1000}/],
        ['trailer', qr/\r\n\r\n2\r\nok\r\n0\r\n(?:X-Flood: \w+\r\n){1000}/]) {
        my ($what, $like) = @$_;
        my $read = '';
        $app->flood($what, 1);
        $client->send($client->format_request(GET => '/App/plain'));
        $read .= $client->read_raw while length $read < 100_000;
        like($read, $like, "a flood: $what");
        $client->close;
    }
    ok(!eval { $app->control('flood none'); 1 }, 'no other flood');
};

subtest 'answers in pieces' => sub {
    my $client = $app->client;
    $app->pieces(1);
    $client->send($client->format_request(GET => '/App/plain'));
    my @reads;
    while (join('', @reads) !~ /hostA\n$/) {
        push @reads, $client->read_raw;
    }
    cmp_ok(scalar @reads, '>', 30, 'come in many');
    like(join('', @reads), qr{^HTTP/1.1 200 OK\r\n.*\r\n\r\nhostA\n$}s, 'and are whole');
    $app->pieces(0);
    is($client->get('/App/plain')->status, 200, 'then in one');
};

subtest 'an answer before the body' => sub {
    my $client = $app->client;
    $client->send("POST /App/early?code=413 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    my $answer = $client->read_response;
    is($answer->status . ' ' . $answer->header('Connection'), '413 close', 'comes, and it closes');
    is($client->get('/App/early?code=200')->status, 200, 'without a body');
    ok($client->socket, 'it stays');
};

subtest 'another protocol' => sub {
    my $client = $app->client;
    is($client->get('/App/upgrade')->status, 426, 'has to be asked for');
    my %ask = (headers => {Upgrade => 'echo/1', Connection => 'Upgrade'});
    $client->send($client->format_request(GET => '/App/upgrade', %ask) . 'early ');
    my $answer = $client->read_response;
    is($answer->status . ' ' . $answer->header('Upgrade'), '101 echo/1', 'granted');
    $client->send('and late');
    my $echo = '';
    $echo .= $client->read_raw while length $echo < 14;
    is($echo, 'early and late', 'everything goes back');
    shutdown($client->socket, 1);
    is($client->read_raw(all => 1), "end 14\n", 'and its end is heard');
};

subtest 'many connections at once' => sub {
    $t->wait_for(sub { $app->close_idle; $app->count->{open} == 0 });
    my @clients = map {$app->client} 1 .. 300;
    $_->get('/App/plain') for @clients;
    is($app->count->{open}, 300, 'all stay open');
    is(closes_idle(300), 300, 'all are idle');
};

subtest 'its process' => sub {
    $app->kill;
    is($app->client->get('/App/plain')->status, 0, 'killed');
    $app->start;
    is($app->client->get('/App/plain')->status, 200, 'back on the same port');
    is_deeply($app->sessions, {}, 'without its sessions');
};

# --- -zones=l1: the application's part of doc/zones.md ---

my $zoned = $t->app('hostZ', zones => 1);

# A page of the zoned instance, as the proxy would ask for it. Options: id => of the session cookie,
# and those of HA::ZoneField::told. The response.
sub ask($page, %opt)
{
    my @cookie = $opt{id} ? (Cookie => "zsessionid=$opt{id}.$zoned->{name}") : ();
    my $client = $zoned->client(cookies => 0);
    return $client->get("/App/$page", headers => [@cookie, told(%opt)]);
}

# A new session with these items: its id.
sub new_cart(@items)
{
    my $id = cart(ask('cart'))->{session};
    ask("cart?add=$_", id => $id) for @items;
    return $id;
}

# What the instance has of a session: "epoch 1, version 2: a,b", or nothing.
sub held($id)
{
    my $s = $zoned->zone_sessions->{$id} // return '';
    return "epoch $s->{epoch}, version $s->{version}: $s->{items}";
}

subtest 'a session that is put' => sub {
    my $new = ask('cart');
    my ($id) = $new->header('Set-Cookie') =~ /^zsessionid=([0-9a-f]{32})\.hostZ; /;
    my $state = {word => 'put', id => $id, ttl => 1800, parts => 1};
    is_deeply(said($new), {%$state, ver => 1, state => 'visits=0 items='}, 'a new one is put');
    my $added = ask('cart?add=pear', id => $id);
    is_deeply(said($added), {%$state, ver => 2, state => 'visits=0 items=pear'}, 'each change is');
    is($added->header('Set-Cookie'), undef, 'the cookie is issued once');
    my %told = (id => $id, fence => 1);
    is(said(ask('', %told))->{state}, 'visits=1 items=pear', 'a visit is a change');
    my $look = ask('cart', %told);
    is(said($look)->{word}, '', 'a look is none');
    is($look->body, "hostZ epoch=1 version=3 visits=1 items=pear session=$id\n", 'and shows it');
    is_deeply(said(ask('touch', %told)), {word => 'touch', id => $id, ttl => 1800}, 'touched');
    is($zoned->client->post("/App/cart?add=fig", '', headers => {Cookie => "zsessionid=$id.x"})->status,
        200, 'a POST adds too');
    is(held($id), 'epoch 1, version 4: pear,fig', 'so it is');
    is(ask('cart?add=a%20b', id => $id)->status, 400, 'what is no name is not added');
};

subtest 'gone: the session is forgotten' => sub {
    my $id = new_cart('pear');
    my $after = ask('cart', id => $id, word => 'gone');
    is(held($id), '', 'forgotten');
    isnt(cart($after)->{session}, $id, 'another one begins');
    is(cart($after)->{items}, '', 'with nothing in it');
    like($after->header('Set-Cookie'), qr/=\Q@{[cart($after)->{session}]}\E\.hostZ;/, 'and its cookie');
};

subtest 'restore: the state is taken when it is newer' => sub {
    my $id = new_cart('own');
    my %given = (id => $id, word => 'restore', from => 'hostA', state => 'visits=7 items=given');
    is(held($id), 'epoch 1, version 2: own', 'before');
    ask('cart', %given, fence => 1, ver => 2);
    is(held($id), 'epoch 1, version 2: own', 'of the same epoch and version: not taken');
    ask('cart', %given, fence => 0, ver => 9);
    is(held($id), 'epoch 1, version 2: own', 'of a lower epoch: not taken');
    ask('cart', %given, fence => 1, ver => 3);
    is(held($id), 'epoch 1, version 3: given', 'of a higher version: taken');
    my $added = ask('cart?add=more', %given, fence => 2, ver => 2, state => 'visits=0 items=b');
    is(held($id), 'epoch 2, version 3: b,more', 'of a higher epoch: taken, and then it is served');
    is(said($added)->{ver}, 3, 'the version goes on from there');
    is($zoned->zone_count->{taken}, 2, 'those are counted');

    my $unknown = ask('cart?add=more', %given, id => 'a' x 32, fence => 5, ver => 17);
    is(held('a' x 32), 'epoch 5, version 18: given,more', 'where there is none: taken');
    is($unknown->header('Set-Cookie'), undef, 'the client has its cookie already');
    my $long = 'visits=0 items=' . join ',', map {"item$_"} 1 .. 1800;
    ask('cart', %given, fence => 6, ver => 1, state => $long);
    is($zoned->zone_sessions->{$id}{items}, $long =~ s/.*=//r, 'in several parts');
    delete $given{id};
    ask('cart', %given, fence => 7, ver => 1);
    is(cart(ask('cart'))->{items}, '', 'a state without a cookie is for nobody');
    my $bad = ask('cart', %given, id => 'b' x 32, fence => 1, ver => 1, state => 'rubbish');
    isnt(cart($bad)->{session}, 'b' x 32, 'a state that cannot be read is none');
};

subtest 'a higher fence: the state is asked for' => sub {
    my $id = new_cart('own');
    my $miss = ask('cart?add=more', id => $id, fence => 2);
    is($miss->status . ' ' . said($miss)->{word}, '503 miss', 'it says miss');
    is(held($id), 'epoch 1, version 2: own', 'and has done nothing');
    my %given = (id => $id, fence => 2, word => 'restore', ver => 5, state => 'visits=0 items=b');
    is(said(ask('cart?add=more', %given))->{state}, 'visits=0 items=b,more', 'with it: it serves');
    is(said(ask('cart', id => $id, fence => 2))->{word}, '', 'under that epoch from then on');
    is(said(ask('cart', id => $id, fence => 1))->{word}, '', 'or a lower one');
    my $none = ask('cart', id => $id, fence => 3, word => 'none');
    isnt(cart($none)->{session}, $id, 'when it is nowhere: another session begins');
    is(held($id), '', 'and the stale one is forgotten');
};

subtest 'no state: it is asked for' => sub {
    my $id = new_cart('own');
    $zoned->zone_forget;
    is_deeply($zoned->zone_sessions, {}, 'as after a restart');
    is(said(ask($_, id => $id, fence => 1))->{word}, 'miss', "miss: /$_") for '', qw(cart touch login logout);
    is_deeply($zoned->zone_sessions, {}, 'and nothing is done');
    for my $word ('', qw(none error gone)) {
        my $answer = ask('cart?add=x', id => $id, $word ? (word => $word) : ());
        is(said($answer)->{word}, 'put', $word ? "after `$word` it serves" : 'without a fence it serves');
        isnt(cart($answer)->{session}, $id, 'under an id that no client can have made up');
    }
    is(said(ask('cart', id => '<script>'))->{word}, 'put', 'an id that is none is no session');
};

subtest 'none and error: what there is goes on' => sub {
    for my $word (qw(none error)) {
        my $id = new_cart('own');
        my $state = said(ask('cart?add=x', id => $id, fence => 1, word => $word));
        is("$state->{id} $state->{ver} $state->{state}", "$id 3 visits=0 items=own,x", $word);
    }
};

subtest 'login and logout' => sub {
    my $id = new_cart('pear');
    ask('cart', id => $id, fence => 4, word => 'restore', ver => 2, state => 'visits=0 items=pear');
    my $login = ask('login', id => $id, fence => 4);
    my $new = cart($login)->{session};
    is_deeply(said($login), {word => 'rekey', id => $id, new => $new}, 'login: a new id');
    like($login->header('Set-Cookie'), qr/^zsessionid=$new\.hostZ; /, 'with a cookie');
    is(held($id), '', 'the old one is not known any more');
    is(held($new), 'epoch 1, version 2: pear', 'the new one has the state, in a first epoch');
    my $again = said(ask('login?add=fig', id => $new));
    is("$again->{word} $again->{ver} $again->{state}", 'rekey 3 visits=0 items=pear,fig', 'or with a change');
    my $logout = ask('logout', id => $again->{new});
    is_deeply(said($logout), {word => 'del', id => $again->{new}}, 'logout: it has ended');
    like($logout->header('Set-Cookie'), qr/^zsessionid=; Path=\/App; Max-Age=0;/, 'the cookie is taken back');
    is(held($again->{new}), '', 'it is forgotten');
    is(said(ask('logout', id => $id, word => 'gone'))->{word}, '', 'one that has ended ends no more');
};

subtest 'parallel requests of a session' => sub {
    my $id = new_cart();
    my @clients = map {$zoned->client(cookies => 0)} 1 .. 20;
    my @cookie = (headers => {Cookie => "zsessionid=$id.hostZ"});
    $zoned->barrier_hold;
    $clients[$_]->send($clients[$_]->format_request(GET => "/App/cart?add=i$_", @cookie)) for 0 .. 19;
    $zoned->barrier_wait(20);
    $zoned->barrier_open;
    my @said = sort {$a->{ver} <=> $b->{ver}} map {said($_->read_response)} @clients;
    is(join(' ', map {$_->{ver}} @said), join(' ', 2 .. 21), 'have versions of their own');
    my @items = sort split /,/, $said[-1]{state} =~ s/.*items=//r;
    is("@items", join(' ', sort map {"i$_"} 0 .. 19), 'and the highest has all changes');
};

subtest 'an answer that was made waits' => sub {
    my $id = new_cart();
    my $slow = $zoned->client(cookies => 0);
    $zoned->answers_hold(1);
    my @cookie = (headers => {Cookie => "zsessionid=$id.hostZ"});
    $slow->send($slow->format_request(GET => '/App/cart?add=a', @cookie));
    $zoned->answers_wait(1);
    is(said(ask('cart?add=b', id => $id))->{ver}, 3, 'the next one does not');
    is($slow->read_raw(timeout => 0.05), '', 'not a byte');
    $zoned->answers_open;
    my $old = said($slow->read_response);
    is("$old->{ver} $old->{state}", '2 visits=0 items=a', 'then it comes, as it was');
    ok(!eval { $zoned->answers_wait(1, 20) }, 'no more are held');
};

subtest 'ways to misbehave with sessions' => sub {
    my $id = new_cart();
    $zoned->zone_rules('off');
    my $deaf = said(ask('cart?add=x', id => $id, fence => 9));
    is("$deaf->{word} $deaf->{ver}", 'put 2', 'without rules: what is stale is put');
    is(said(ask('cart?add=x', id => $id, word => 'gone'))->{ver}, 3, 'what is gone lives on');
    is(said(ask('cart?add=x', id => 'made-up'))->{id}, 'made-up', 'any id is adopted');
    $zoned->zone_rules('on');
    is(said(ask('cart?add=x', id => $id, fence => 9))->{word}, 'miss', 'then it obeys');

    for my $bytes (1000, 5250, 5251, 15750) {
        $zoned->zone_pad($bytes);
        my $padded = said(ask('cart?add=y', id => $id));
        is(length $padded->{state}, $bytes, "a state of $bytes bytes");
        is($padded->{parts}, int(($bytes + 5249) / 5250), 'in as many parts as it takes');
    }
    $zoned->zone_pad(0);
    $zoned->zone_ttl(7);
    is(said(ask('cart?add=z', id => $id))->{ttl}, 7, 'a ttl');

    my @lines = ('HA-Session: put; ver=0', 'ha_session-DATA: x', 'X-Other: \\ 1');
    $zoned->zone_say(\@lines, 2);
    for my $page ('cart?add=z', 'status?code=404') {
        my $r = ask($page, id => $id);
        my %fields = map {@$_} @{$r->fields};
        is(join('|', map {"$_: $fields{$_}"} 'HA-Session', 'ha_session-DATA', 'X-Other'),
            join('|', @lines), "any lines instead of its own: /$page");
    }
    is(said(ask('cart?add=z', id => $id))->{word}, 'put', 'then its own');
    ok(!eval { $zoned->control("zone $_"); 1 }, "zone $_ is refused") for '', 'x', 'pad', 'rules x', 'say \\y';
};

subtest 'it counts what it hears and says' => sub {
    my $before = $zoned->zone_count;
    my $id = new_cart('x');
    ask('cart', id => $id, fence => 3);
    ask('cart', id => $id, fence => 3, word => 'restore', ver => 1, state => 'visits=0 items=y');
    ask('touch', id => $id, fence => 3);
    ask('login', id => $id, fence => 3);
    ask('logout', id => $id, word => 'gone');
    ask('cart', id => 'abcd', word => $_) for qw(none error);
    my $after = $zoned->zone_count;
    my %rise = map {$_ => $after->{$_} - $before->{$_}} keys %$after;
    is_deeply(\%rise, {fence => 4, restore => 1, none => 1, gone => 1, error => 1, taken => 1, miss => 1,
        put => 4, touch => 1, del => 0, rekey => 1}, 'each word');
};

subtest 'the cookie follows the session on demand' => sub {
    my $reissuing = $t->app('hostY', zones => 1, reissue => 1);
    my @given = told(fence => 2, word => 'restore', ver => 1, state => 'visits=0 items=');
    my $client = $reissuing->client(cookies => 0);
    my $taken = $client->get('/App/cart', headers => [Cookie => 'zsessionid=abcd.hostZ', @given]);
    like($taken->header('Set-Cookie'), qr/^zsessionid=abcd\.hostY; /, 'reissued with its route');
    my $plain = $app->client->get('/App/cart', headers => {Cookie => 'zsessionid=abcd.hostB'});
    is($plain->body, "hostA visits=1 session=abcd\n", 'without -zones there is no cart');
    is(said($plain)->{word}, '', 'nor a word of sessions');
};

$t->done;
