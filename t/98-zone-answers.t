# SPDX-License-Identifier: Apache-2.0
# What an application says of a session counts on every final answer and on no other; an application
# that asks for a state again and again gets no third request; and the client's cookie follows the
# session.
use v5.36;

use HA::Raw;
use HA::Test;
use HA::Zone qw(all_serve cart counters each_way holder leaked put_fields stored zone_address zone_token);

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B);
# Instances are killed on purpose.
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

# A new session with tea in its cart: its client, its id, the instance that has it, and the other one.
sub session($proxy)
{
    my $client = $t->client(port => $proxy->port);
    my $first = cart($client, '/App/cart?add=tea');
    return ($client, $first->{session}, holder($first, @apps));
}

# The state that the store has of a session.
sub state_of($proxy, $id)
{
    return stored($proxy, $id)->body =~ s/\s+\z//r;
}

my $version = 100;

# The instance says a state with the answer to this request, and nothing of it but the state stays.
sub says_it($proxy, $status, $method, $path)
{
    my ($client, $id, $holder) = session($proxy);
    $version++;
    $holder->zone_say(put_fields($id, $version, "visits=0 items=v$version"), 1);
    my $answer = $client->request($method, $path);
    is($answer->status, $status, "$method with $status");
    is(leaked($answer), '', 'says nothing of it to the client');
    is(state_of($proxy, $id), "visits=0 items=v$version", 'but its state is stored');
    return;
}

sub final_answers($proxy)
{
    says_it($proxy, $_, 'GET', "/App/status?code=$_") for qw(204 206 301 302 304 400 401 404 410 500 503);
    says_it($proxy, 200, 'HEAD', '/App/bytes?n=1000');
    says_it($proxy, 200, 'OPTIONS', '/App/plain');
    says_it($proxy, 200, 'DELETE', '/App/plain');
    says_it($proxy, 200, 'GET', '/App/bytes?n=300000');
    says_it($proxy, 200, 'GET', '/App/bytes?n=3000&close=1');
    says_it($proxy, 200, 'GET', '/App/chunked?n=3000&chunk=100&trailer=1');
    return;
}

sub every_status($proxy)
{
    my ($client, $id, $holder) = session($proxy);
    my ($before, @odd) = counters($proxy)->{put};
    my @statuses = grep {$_ != 205} 200 .. 599; # mod_proxy takes no 205 with a body
    for my $status (@statuses) {
        $holder->zone_say([@{put_fields($id, ++$version, "visits=0 items=v$version")}, 'HA-Fence: 9'], 1);
        my $answer = $client->get("/App/status?code=$status");
        push @odd, "$status: " . $answer->status . ' ' . leaked($answer) if $answer->status != $status || leaked($answer);
    }
    is("@odd", '', 'no status lets a field of ours through');
    is(counters($proxy)->{put}, $before + @statuses, 'and each brings its state');
    return;
}

# No answer but the last one counts.
sub interim_answers($proxy)
{
    my ($client, $id, $holder) = session($proxy);
    my $said = join '', map {"$_\r\n"} @{put_fields($id, ++$version, 'visits=0 items=early')}, 'HA-Fence: 9';
    my $last = "HTTP/1.1 200 OK\r\nX-Instance: x\r\nContent-Length: 2\r\n\r\nok";
    for my $status ('103 Early Hints', '102 Processing') {
        $holder->raw(stay => "HTTP/1.1 $status\r\nLink: <x>\r\n$said\r\n$last", 1);
        my $answer = $client->get('/App/plain');
        is($answer->status, 200, "behind $status there is an answer");
        is(leaked($answer, @{$answer->{interim}}), '', 'the client sees nothing of a state');
        like(state_of($proxy, $id), qr/items=tea$/, 'which does not count');
    }
    return;
}

sub trailers($proxy)
{
    my ($client, $id, $holder) = session($proxy);
    my $said = join '', map {"$_\r\n"} @{put_fields($id, ++$version, 'visits=0 items=late')};
    $holder->raw(stay => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: HA-Session\r\n\r\n2\r\nok\r\n0\r\n$said\r\n", 1);
    my $answer = $client->get('/App/plain', headers => {TE => 'trailers'});
    is($answer->body, 'ok', 'an answer with a state behind it');
    is($answer->trailer('HA-Session'), undef, 'does not tell it');
    like(state_of($proxy, $id), qr/items=tea$/, 'which does not count');
    return;
}

# How many requests with that tag have come to instances.
sub came($tag)
{
    return scalar grep {$_->{tag} eq $tag} map {$_->ledger} @apps;
}

sub miss_twice($proxy, $method)
{
    my ($client, $id, $holder) = session($proxy);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    my $tag = "miss-$method-" . ++$version;
    my $before = counters($proxy)->{miss};
    $_->zone_say(['HA-Session: miss']) for @apps;
    my $answer = $client->request($method, '/App/plain', @body, headers => {'X-Request-Tag' => $tag});
    $_->zone_say for @apps;
    is($answer->status, 503, "a $method whose state is asked for twice is refused");
    is(leaked($answer), '', 'without a word of it');
    unlike($answer->body, qr/host/, 'by the proxy');
    is(came($tag), 2, 'after two requests');
    is(counters($proxy)->{miss}, $before + 2, 'which are counted');
    is(cart($client, '/App/cart')->{items}, 'tea', 'the session goes on');
    return;
}

sub miss_without_a_session($proxy)
{
    my $client = $t->client(port => $proxy->port);
    my $tag = 'none-' . ++$version;
    $_->zone_say(['HA-Session: miss']) for @apps;
    my $answer = $client->get('/App/plain', headers => {'X-Request-Tag' => $tag});
    $_->zone_say for @apps;
    is($answer->status, 503, 'a request without a session has no state to ask for');
    is(came($tag), 1, 'and is not sent again');
    is($client->get('/App/plain')->status, 200, 'the next one is answered');
    return;
}

# The session goes on with the other instance, and the very answer of that says so.
sub cookie_follows($proxy)
{
    my ($client, $id, $holder, $other) = session($proxy);
    $holder->kill;
    my $answer = $client->get('/App/plain');
    is($answer->status, 200, 'the instance of a session is dead');
    my @cookies = grep {/^zsessionid=/} $answer->headers('Set-Cookie');
    is(scalar @cookies, 1, 'the next answer sets the cookie once');
    like($cookies[0], qr/^zsessionid=$id\.${\$other->name}(?:;|$)/, 'to the instance that has it now');
    is(scalar(grep {/^zsessionid=/} $client->get('/App/plain')->headers('Set-Cookie')), 0, 'the one after that does not');
    $holder->start;
    all_serve($t, $proxy, @apps);
    my $old = $t->client(port => $proxy->port);
    $old->set_cookie('zsessionid', "$id." . $holder->name);
    my $answer_to_old = $old->get('/App/plain');
    is($answer_to_old->instance, $other->name, 'a client with the old cookie gets there too');
    is($old->cookie('zsessionid'), "$id." . $other->name, 'and its cookie is put right');
    return;
}

# The page is httpd's own, the answer is the application's: it counts, and is no reason to ask another
# instance.
sub overridden($proxy)
{
    for my $case (['GET', 500], ['GET', 404], ['GET', 503], ['POST', 503]) {
        my ($method, $status) = @$case;
        my ($client, $id, $holder) = session($proxy);
        my $tag = 'over-' . ++$version;
        $holder->zone_say(put_fields($id, $version, "visits=0 items=v$version"), 1);
        my %opt = (headers => {'X-Request-Tag' => $tag}, $method eq 'POST' ? (body => 'x') : ());
        my $answer = $client->request($method, "/App/status?code=$status", %opt);
        is($answer->status, $status, "the page of $status for a $method is the proxy's");
        unlike($answer->body, qr/^status $status/, 'and not the application\'s');
        is(leaked($answer), '', 'which says nothing');
        is(state_of($proxy, $id), "visits=0 items=v$version", 'but the state is stored');
        is(came($tag), 1, 'and the request has come once');
    }
    for my $method (qw(GET POST)) {
        my ($client, $id, $holder) = session($proxy);
        $holder->zone_forget;
        my $cart = cart($client, '/App/cart?add=milk', method => $method, $method eq 'POST' ? (body => 'x') : ());
        is($cart->{items}, 'tea,milk', "a $method whose state the instance has lost gets it");
    }
    return;
}

sub stories($proxy, $lane, @)
{
    all_serve($t, $proxy, @apps);
    subtest 'final answers' => sub { final_answers($proxy) };
    subtest 'every status' => sub { every_status($proxy) };
    subtest 'interim answers' => sub { interim_answers($proxy) };
    subtest 'trailers' => sub { trailers($proxy) };
    subtest "a state that is asked for twice, by $_" => sub { miss_twice($proxy, $_) } for qw(GET POST);
    subtest 'one that cannot be' => sub { miss_without_a_session($proxy) };
    subtest 'the cookie' => sub { cookie_follows($proxy) };
    return;
}

my %check = (check => 'interval=100ms timeout=10s');

each_way($t, \@apps, \&stories, %check, stores => ['shm']);
each_way($t, \@apps, sub ($proxy, @) { overridden($proxy) }, %check, stores => ['shm'], more => "ProxyErrorOverride On\n");

# An answer too, though it is one of the 1xx: nothing comes after it but the other protocol.
for my $lane (qw(On Off)) {
    subtest "a switch of protocols, HALane $lane" => sub {
        my $said = join '', map {"$_\r\n"} @{put_fields('abc', 5, 'visits=0 items=switched')};
        my $switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n$said"
            . "Set-Cookie: zsessionid=abc.hostR; Path=/App\r\n\r\n";
        my $raw = HA::Raw->new($t, "raw$lane", record => 1, answer => sub ($) { ($switch, 'tunnel', ['close']) });
        my ($token) = zone_token($t, 'App');
        my $proxy = $t->httpd(
            name => "switch$lane", haproxy => 1, modules => [qw(proxy proxy_http authz_host)], ports => 2,
            config => <<~"CONFIG" . zone_address(),
                <Proxy "balancer://App">
                    BalancerMember "${\$raw->url}" route=hostR upgrade=websocket
                    ProxySet stickysession=zsessionid
                </Proxy>
                ProxyPass "/App" "balancer://App/App"
                HABalancer App
                HAZone     App zone=USER store=shm token=$token
                HALane $lane
                CONFIG
        );
        my $client = HA::Client->new(port => $proxy->port, cookies => 0);
        $client->send("GET /App/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        my $bytes = $client->read_raw(until => qr/tunnel$/);
        like($bytes, qr/^HTTP\/1\.1 101 /, 'protocols are switched');
        unlike($bytes, qr/HA-/i, 'the client sees nothing of a state');
        is(state_of($proxy, 'abc'), 'visits=0 items=switched', 'which is stored');
        $client->close;
        $proxy->stop;
    };
}

$t->done;
