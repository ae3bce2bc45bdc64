# SPDX-License-Identifier: Apache-2.0
# The address of zones for applications (doc/zones.md, L2): every status, conditions, whose values they
# are, where it serves at all; with either store, and what becomes of it when memcached are killed.
# Z6: the STORAGE zone is replicated too.
use v5.36;

use Time::HiRes qw(sleep);

use HA::Memcached;
use HA::Mount qw(balancer);
use HA::Test;
use HA::Zone qw(cart zone_address zone_httpd zone_token);

use constant {MOST => 900_000, JSON_PATCH => 'application/merge-patch+json'};

my $t = HA::Test->new;
my @modules = qw(proxy proxy_http authz_host filter deflate);
my ($a, $b) = map {$t->app("host$_", zones => 1)} qw(A B);
my ($token_file, $token) = zone_token($t, 'App');
my ($other_file, $other_token) = zone_token($t, 'Other');
my @nodes = map {HA::Memcached->new($t, "memcached$_")} 1, 2;
# Instances and nodes are killed on purpose.
$t->expect_log(qr/App: member host[AB] failed on|member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/(?:App|Other): memcached 127\.0\.0\.1:\d+: (?:up -> down|down -> up)/);

# --- asking ---------------------------------------------------------------------------------------

my $client;

# A request for a value; the token is the application's unless said. Options: body; token => undef
# for none; further ones are fields, with _ for -.
sub ask($method, $path, %opt)
{
    my $shown = exists $opt{token} ? delete $opt{token} : $token;
    my $body = delete $opt{body};
    my $to = delete $opt{client} // $client;
    my @fields = defined $shown ? (Authorization => "Bearer $shown") : ();
    push @fields, map {my $name = tr/_/-/r; ($name => $opt{$_})} sort keys %opt;
    return $to->request($method, "/zones/$path", headers => \@fields, defined $body ? (body => $body) : ());
}

# Its status alone.
sub status(@request)
{
    return ask(@request)->status;
}

sub etag($path)
{
    return ask(HEAD => $path)->header('ETag');
}

sub make($path, $body, @fields)
{
    return status(PUT => $path, body => $body, If_None_Match => '*', @fields);
}

sub patch($path, $body, @fields)
{
    return status(PATCH => $path, body => $body, Content_Type => JSON_PATCH, @fields);
}

sub counters
{
    my ($counters) = ask(GET => '')->body =~ /"counters":\{(.*?)\}/ or die "no counters\n";
    return {map {/"(\w+)":(\d+)/ ? ($1 => $2) : ()} split /,/, $counters};
}

# --- what is asked of either store ----------------------------------------------------------------

sub methods
{
    my $path = 'STORAGE/catalogue/tea';
    is(status(GET => $path), 404, 'what was never put is not there');
    is(status(DELETE => $path), 404, 'and cannot be deleted');
    my $made = ask(PUT => $path, body => "green\0\xff\n", If_None_Match => '*');
    is($made->status, 201, 'a value is made');
    my $got = ask(GET => $path);
    is($got->status, 200, 'and read');
    is($got->body, "green\0\xff\n", 'byte for byte');
    is($got->header('ETag'), $made->header('ETag'), 'with the tag that it was made with');
    is($got->header('Content-Type'), 'application/octet-stream', 'it is octets');
    cmp_ok($got->header('HA-TTL'), '<=', 1800, 'and lives half an hour unless something else is said');
    cmp_ok($got->header('HA-TTL'), '>', 1700, 'from now on');
    my $head = ask(HEAD => $path);
    is($head->status . $head->body, '200', 'HEAD is GET without the value');
    is($head->header('Content-Length'), 8, 'and says how long it is');
    my $put = ask(PUT => $path, body => 'black', If_Match => $got->header('ETag'), HA_TTL => 99);
    is($put->status, 204, 'a value is replaced');
    isnt($put->header('ETag'), $got->header('ETag'), 'which gives it another tag');
    cmp_ok(ask(GET => $path)->header('HA-TTL'), '<=', 99, 'and the time that was said');
    is(status(PUT => $path, body => 'black', If_Match => '*'), 204, 'or half an hour again');
    cmp_ok(ask(GET => $path)->header('HA-TTL'), '>', 1700, 'when none was');
    is(status(DELETE => $path), 204, 'a value is deleted');
    is(status(GET => $path), 410, 'and gone then');
    is(status(DELETE => $path), 410, 'which cannot be done twice');
    is(make($path, 'white'), 201, 'what is no session may be made again');
    is(ask(GET => $path)->body, 'white', 'and is as it was made');
    return;
}

sub conditions
{
    my $path = 'USER/conditions/k';
    is(status(PUT => $path, body => 1), 428, 'PUT needs a condition');
    is(status(PUT => $path, body => 1, If_None_Match => '"1-1"'), 428, 'that says what is replaced');
    is(status(PUT => $path, body => 1, If_Match => '*'), 412, 'If-Match: * wants a value');
    is(make($path, 1), 201, 'If-None-Match: * wants none');
    is(make($path, 2), 412, 'and so only the first one makes it');
    my $first = etag($path);
    is(status(PUT => $path, body => 2, If_Match => '*'), 204, 'If-Match: * replaces whatever is there');
    is(status(PUT => $path, body => 3, If_Match => $first), 412, 'an older tag does not');
    is(status(PUT => $path, body => 3, If_Match => "W/" . etag($path)), 412, 'nor does a weak one');
    is(status(PUT => $path, body => 3, If_Match => "$first, " . etag($path)), 204, 'one of a list does');
    is(ask(GET => $path)->body, 3, 'what did not hold has changed nothing');
    is(status(PUT => $path, body => 4, If_Match => 'x'), 400, 'what is no tag is refused');
    is(status(GET => $path, If_None_Match => etag($path)), 304, 'what is known is not sent again');
    my $known = ask(GET => $path, If_None_Match => 'W/' . etag($path) . ', "1-1"');
    is($known->status . $known->body, 304, 'by a weak tag in a list too');
    is($known->header('ETag'), etag($path), 'with its tag');
    is(status(GET => $path, If_None_Match => $first), 200, 'by an older tag it is');
    is(status(GET => $path, If_Match => $first), 412, 'If-Match holds for reading too');
    is(status(DELETE => $path, If_Match => $first), 412, 'and for deleting');
    is(status(DELETE => $path, If_Match => etag($path)), 204, 'which it allows by the right tag');
    return;
}

sub patches
{
    my $path = 'STORAGE/settings';
    is(patch($path, '{"a":{"b":1,"c":2}}'), 201, 'a patch makes what is not there');
    is(ask(GET => $path)->body, '{"a":{"b":1,"c":2}}', 'of itself');
    is(patch($path, '{"a":{"b":null},"d":"e"}', HA_TTL => 5000), 204, 'and changes what is');
    my $got = ask(GET => $path);
    is($got->body, '{"a":{"c":2},"d":"e"}', 'by its members');
    cmp_ok($got->header('HA-TTL'), '>', 4000, 'with the time that was said');
    is(patch($path, '{"d":null}', Content_Type => JSON_PATCH . '; charset=utf-8'), 204, 'the type may have parameters');
    cmp_ok(ask(GET => $path)->header('HA-TTL'), '>', 4000, 'without one its time goes on');
    is(patch($path, '{}', If_Match => '"1-1"'), 412, 'a patch may have a condition');
    is(patch($path, '{}', If_Match => etag($path)), 204, 'that holds or does not');
    is(patch($path, '{"a":'), 400, 'a patch is JSON');
    my $type = ask(PATCH => $path, body => '{}', Content_Type => 'application/json');
    is($type->status, 415, 'and said to be a merge patch');
    is($type->header('Accept-Patch'), JSON_PATCH, 'which the answer tells');
    is(make('STORAGE/octets', "\1\2"), 201, 'a value may be anything');
    is(patch('STORAGE/octets', '{}'), 415, 'but only JSON can be patched');
    return;
}

sub sessions
{
    my $path = 'USER/session-1';
    is(make("$path/cart", 'early'), 201, 'a session that nobody has begun may have keys');
    is(make($path, 'state'), 201, 'a session is made');
    is(ask(GET => "$path/cart")->body, 'early', 'beside its keys');
    is(status(DELETE => $path), 204, 'and ends');
    is(status(GET => $path), 410, 'then it is gone');
    is(status(DELETE => $path), 410, 'for good');
    is(make($path, 'state'), 410, 'it cannot be made again');
    is(status(PUT => $path, body => 1, If_Match => '*'), 410, 'nor be replaced');
    is(patch($path, '{}'), 410, 'nor be patched');
    is(status(GET => "$path/cart"), 410, 'its keys are gone too');
    is(make("$path/other", 1), 410, 'and new ones are not made');
    is(patch("$path/cart", '{}'), 410, 'nor old ones patched');
    is(status(DELETE => "$path/cart"), 410, 'nor deleted');
    is(status(GET => 'STORAGE/session-1'), 404, 'STORAGE knows nothing of that');
    return;
}

sub refusals
{
    my $path = 'STORAGE/refused';
    is(status(POST => $path, body => 1), 405, 'there are five methods');
    is(ask(OPTIONS => $path)->header('Allow'), 'GET, HEAD, PUT, PATCH, DELETE', 'which Allow names');
    is(status(PUT => ''), 405, 'the page of counters is for reading');
    is(make($path, 'x' x MOST), 201, 'a value of 900,000 bytes is kept');
    my $all = ask(GET => $path, Accept_Encoding => 'gzip');
    is(length $all->body, MOST, 'all of it, and no filter compresses it');
    is($all->header('ETag'), etag($path), 'under another tag');
    is(status(PUT => $path, body => 'x' x (MOST + 1), If_Match => '*'), 413, 'one more is too many');
    is(status(PUT => $path, body => '', If_Match => '*', Content_Length => 10**9), 413, 'which is said before they are read');
    my $chunked = $client->request(
        PUT => "/zones/$path",
        headers => {Authorization => "Bearer $token", 'If-Match' => '*'},
        chunks => [('x' x 90_000) x 11]
    );
    is($chunked->status, 413, 'in chunks too');
    is(length ask(GET => $path)->body, MOST, 'and it stays as it was');
    for my $ttl (0, -1, 'soon', '1.5', '') {
        is(status(PUT => $path, body => 1, If_Match => '*', HA_TTL => $ttl), 400, "no value lives '$ttl' seconds");
    }
    is(status(PUT => $path, body => 1, If_Match => '*', HA_TTL => 4_000_000_000), 204, 'more than 30 days');
    cmp_ok(ask(GET => $path)->header('HA-TTL'), '<=', 30 * 86400, 'are 30 days');
    for my $wrong ('USER', 'USER/', 'user/s', 'USER/s/', 'USER/s/k/x', 'nothing') {
        is(status(GET => $wrong), 404, "$wrong is no address");
    }
    for my $wrong ('USER/./s', 'USER/x/../s', 'USER//s', 'USER/' . 'x' x 257, 'USER/s/' . '%78' x 257) {
        is(status(GET => $wrong), 400, substr($wrong, 0, 12) . ' is a malformed one');
    }
    return;
}

sub ids
{
    my %ids = ('a%2Fb' => 'slash', 'a%252Fb' => 'percent', '%C3%A4%20%22' => 'others', 'x' x 256 => 'long');
    is(make("STORAGE/$_/$_", $ids{$_}), 201, "$ids{$_}: an id is percent-encoded where needed") for sort keys %ids;
    is(ask(GET => "STORAGE/$_/$_")->body, $ids{$_}, 'and is its own') for sort keys %ids;
    is(ask(GET => 'STORAGE/%61%2fb/a%2Fb')->body, 'slash', 'however it is written');
    return;
}

sub tokens
{
    my $path = 'STORAGE/secret';
    is(make($path, 'mine'), 201, 'an application has a value');
    my $none = ask(GET => $path, token => undef);
    is($none->status, 401, 'without a token nobody gets it');
    like($none->header('WWW-Authenticate'), qr/^Bearer/, 'and is told what is wanted');
    is(status(GET => $path, token => undef, Authorization => "Basic $token"), 401, 'nor with another scheme');
    is(status(GET => $path, token => "x$token"), 403, 'nor with a token that nobody has');
    is(status(GET => $path, token => substr $token, 0, -1), 403, 'or with a part of one');
    is(status(PUT => $path, token => 'x', body => 1, If_Match => '*'), 403, 'and nobody changes it');
    is(status(GET => '', token => undef), 401, 'or sees the counters');
    is(status(GET => $path, token => $other_token), 404, 'with another application\'s token there is its own');
    is(make($path, 'its', token => $other_token), 201, 'under the same name');
    is(ask(GET => $path)->body, 'mine', 'which is another value');
    is(make('USER/s', 1, token => $other_token), 404, 'a zone that an application does not have is not there');
    return;
}

# --- many at once ---------------------------------------------------------------------------------

# Adds one, so many times, by reading and replacing; how often somebody else was faster.
sub add_ones($path, $times)
{
    my $own = HA::Client->new(port => $client->{port});
    my $missed = 0;
    while ($times) {
        my $got = ask(GET => $path, client => $own);
        my $put = ask(PUT => $path, client => $own, body => $got->body + 1, If_Match => $got->header('ETag'));
        die 'status ' . $put->status . "\n" if $put->status !~ /^(?:204|412)$/;
        $put->status == 204 ? $times-- : $missed++;
    }
    return $missed;
}

sub writers($name)
{
    my $path = 'STORAGE/count';
    is(make($path, 0), 201, 'two writers have a value');
    my @pids = map {$t->spawn("writer$_-$name", code => sub { add_ones($path, 100) })} 1, 2;
    $t->wait_end($_, 60) for @pids;
    is(join(' ', map {$t->ended($_)} @pids), '0 0', 'and change it at the same time');
    is(ask(GET => $path)->body, 200, 'no update is lost');
    return;
}

# All are there before the first one is read.
sub parallel_patches
{
    my $path = 'USER/crowd';
    my @crowd = map {HA::Client->new(port => $client->{port}, timeout => 30)} 1 .. 50;
    my $headers = {Authorization => "Bearer $token", 'Content-Type' => JSON_PATCH};
    for my $n (1 .. @crowd) {
        my $own = $crowd[$n - 1];
        $own->send($own->format_request(PATCH => "/zones/$path", headers => $headers, body => qq({"n$n":$n})));
    }
    my %statuses;
    $statuses{$_->read_response('PATCH')->status}++ for @crowd;
    is_deeply(\%statuses, {201 => 1, 204 => 49}, 'of fifty patches at once each is carried out');
    my $value = ask(GET => $path)->body;
    is(scalar(grep {$value =~ /"n$_":$_[,}]/} 1 .. 50), 50, 'and all count');
    return;
}

# --- L1 and L2 ------------------------------------------------------------------------------------

sub both_levels($proxy)
{
    my $browser = $t->client(port => $proxy->port);
    my $first = cart($browser, '/App/cart?add=tea');
    my $path = "USER/$first->{session}";
    my $got = ask(GET => $path);
    is($got->body, 'visits=0 items=tea', 'a state that an instance has put by L1 is read by L2');
    like($got->header('ETag'), qr/^"1-1-[0-9a-f]{8}"$/, 'its tag is epoch, version, and which of two');
    is(status(PUT => $path, body => 'visits=0 items=tea,ham', If_Match => $got->header('ETag')), 204, 'and written');
    my $older = etag($path);
    like($older, qr/^"1-2-/, 'in the same epoch');
    my ($from, $to) = $first->{instance} eq 'hostA' ? ($a, $b) : ($b, $a);
    $from->kill;
    my $second = cart($browser, '/App/cart?add=rum');
    is($second->{items}, 'tea,ham,rum', 'Z5: the next instance gets what L2 has written');
    is($second->{epoch}, 2, 'in the next epoch');
    is(ask(GET => $path)->body, 'visits=0 items=tea,ham,rum', 'and L2 what that one has put');
    is(status(PUT => $path, body => 'late', If_Match => $older), 412, 'an older epoch\'s tag does not hold');
    is(status(PUT => $path, body => 'late', If_Match => etag($path)), 204, 'the new one\'s does');
    is(status(DELETE => $path), 204, 'L2 ends the session');
    my $third = cart($browser, '/App/cart');
    isnt($third->{session}, $first->{session}, 'for L1 too, at once');
    $from->start;
    return;
}

# What is there is a record without a state, which a PUT gives it.
sub issued_only($proxy)
{
    $_->control('zone say X-Other:\s1\r\n') for $a, $b;
    my $session = cart($t->client(port => $proxy->port), '/App/cart')->{session};
    $_->control('zone say none') for $a, $b;
    my $path = "USER/$session";
    is(status(GET => $path), 404, 'a session that was issued without a state has no value');
    is(status(PUT => $path, body => 1, If_Match => '*'), 412, 'that could be replaced');
    is(make($path, 'visits=0 items=nut'), 201, 'but may be given one');
    like(etag($path), qr/^"1-1-/, 'in its first epoch');
    is(make($path, 'again'), 412, 'once');
    return;
}

sub page($store)
{
    my $before = counters();
    make('STORAGE/counted', 1);
    is(counters()->{put}, $before->{put} + 1, 'the page has this application\'s counters');
    my $page = ask(GET => '');
    is($page->header('Content-Type'), 'application/json', 'as JSON');
    my $nodes = $store eq 'shm' ? '{"name":"shm","up":true}' : join ',', map {sprintf '{"name":"%s","up":true}', $_->address} @nodes;
    is(($page->body =~ /"nodes":\[(.*)\]/)[0], $nodes, 'and its nodes');
    return;
}

# --- nodes are killed -----------------------------------------------------------------------------

# The ends of a record on two nodes are up to a second apart. They are made and looked at all over that
# second.
sub ends
{
    my @paths = map {"STORAGE/ends$_"} 1 .. 10;
    for my $path (@paths) {
        is(make($path, 1, HA_TTL => 2), 201, "$path is made for 2 s");
        sleep 0.1;
    }
    my $all_gone = sub {
        return !grep {status(GET => $_) != 404} @paths;
    };
    ok(eval { $t->wait_for($all_gone, 10, 'all of them to end'); 1 }, 'and looked at all the time they end');
    return;
}

sub lost_nodes
{
    my $path = 'STORAGE/survives';
    my %had = map {$_ => 1} map {$_->names} @nodes;
    is(make($path, 'first'), 201, 'Z6: a value of STORAGE');
    my @has = map {[grep {!$had{$_}} $_->names]} @nodes;
    is(scalar @{$has[0]}, 1, 'is a record in a memcached');
    is_deeply($has[1], $has[0], 'and the same in the other one');
    $nodes[0]->kill;
    is(ask(GET => $path)->body, 'first', 'and survives either of them');
    is(status(PUT => $path, body => 'second', If_Match => etag($path)), 204, 'it is written with one');
    $nodes[0]->start;
    $t->wait_for(sub { ask(GET => '')->body !~ /"up":false/ }, 15, 'both nodes to be up');
    is(ask(GET => $path)->body, 'second', 'a look at it repairs the copy that is missing');
    $nodes[1]->kill;
    is(ask(GET => $path)->body, 'second', 'so that it survives the other one');
    $nodes[0]->kill;
    my $down = ask(GET => $path);
    is($down->status, 503, 'without any there is no telling');
    is($down->header('Retry-After'), 1, 'but later there may be');
    my $before = counters()->{unprotected};
    is(make('STORAGE/never', 1), 503, 'nothing is made');
    is(patch('STORAGE/never', '{}'), 503, 'or patched');
    is(counters()->{unprotected}, $before + 2, 'and that is counted');
    is(status(DELETE => 'USER/any/key'), 503, 'nothing is deleted');
    like(ask(GET => '')->body, qr/"up":false\},.*"up":false/, 'which the page shows');
    $_->start for @nodes;
    $t->wait_for(sub { make('STORAGE/again', 1) == 201 }, 15, 'the nodes to be back');
    is(status(GET => $path), 404, 'what both have lost is not there');
    return;
}

# --- a proxy is lost ------------------------------------------------------------------------------

# What has been made through this proxy goes on through another one.
sub lost_proxy($proxy)
{
    my $second = zone_httpd($t, [$a, $b], name => 'second', modules => \@modules, nodes => \@nodes,
        zone => "zone=USER,STORAGE token=$token_file", ports => 2, more => zone_address());
    my $by_second = HA::Client->new(port => $second->port(2), cookies => 0);
    my $path = 'STORAGE/shared';
    $t->wait_for(sub { ask(GET => '')->body !~ /"up":false/ }, 15, 'both nodes to be up');
    my $made = ask(PUT => $path, body => 'first', If_None_Match => '*');
    is($made->status, 201, 'Z6: a value of STORAGE is made through a proxy');
    my $read = ask(GET => $path, client => $by_second);
    is($read->body, 'first', 'and read through another one');
    is($read->header('ETag'), $made->header('ETag'), 'under the same tag');
    is(status(PUT => $path, body => 'second', If_Match => $read->header('ETag'), client => $by_second), 204, 'which replaces it');
    is(status(PUT => $path, body => 'late', If_Match => $made->header('ETag')), 412, 'so that the first one cannot');
    $proxy->stop;
    is(ask(GET => $path, client => $by_second)->body, 'second', 'it survives the proxy that made it');
    $nodes[0]->kill;
    is(ask(GET => $path, client => $by_second)->body, 'second', 'and a memcached');
    is(status(PUT => $path, body => 'third', If_Match => '*', client => $by_second), 204, 'and can be replaced');
    is(ask(GET => $path, client => $by_second)->body, 'third', 'with what is left');
    $nodes[0]->start;
    $second->stop;
    return;
}

# --- the story ------------------------------------------------------------------------------------

my $other = balancer('Other', [$a], check => undef);

for my $store ('shm', 'memcached') {
    subtest $store => sub {
        my @on = $store eq 'shm' ? () : @nodes;
        my $where = @on ? 'store=memcached:' . join(',', map {$_->address} @on) . ' key=' . HA::Zone::zone_key($t) : 'store=shm';
        my $proxy = zone_httpd(
            $t, [$a, $b],
            name => $store,
            modules => \@modules,
            nodes => \@on,
            zone => "zone=USER,STORAGE token=$token_file",
            ports => 2,
            more => $other . "HAZone Other $where zone=STORAGE token=$other_file\n" . zone_address("Require ip 127.0.0.1\nSetOutputFilter DEFLATE")
        );
        $client = HA::Client->new(port => $proxy->port(2), cookies => 0);
        subtest 'methods' => \&methods;
        subtest 'conditions' => \&conditions;
        subtest 'patches' => \&patches;
        subtest 'sessions' => \&sessions;
        subtest 'refusals' => \&refusals;
        subtest 'ids' => \&ids;
        subtest 'ends' => \&ends;
        subtest 'tokens' => \&tokens;
        subtest 'two writers' => sub { writers($store) };
        subtest 'a crowd' => \&parallel_patches;
        subtest 'with L1' => sub { both_levels($proxy) };
        subtest 'issued only' => sub { issued_only($proxy) };
        subtest 'the page' => sub { page($store) };
        subtest 'nodes are killed' => \&lost_nodes if @on;
        subtest 'a proxy is lost' => sub { lost_proxy($proxy) } if @on;
        $proxy->stop;
    };
}

# --- where it does not serve ----------------------------------------------------------------------

my $zoned = balancer('App', [$a], check => undef) . "HAZone App store=shm zone=USER,STORAGE token=$token_file\n";

subtest 'it is covered by a Require, or does not start' => sub {
    my $httpd = $t->httpd(modules => \@modules, haproxy => 1, ports => 2, start => 0, name => 'refused');
    my $vhost = sub ($text) { "<VirtualHost 127.0.0.1:\@PORT2\@>\n$text\n</VirtualHost>\n" };
    my $location = sub ($text) { $vhost->(qq(<Location "/zones">\n$text\n</Location>)) };
    my $handler = 'SetHandler ha-zones';
    my %refused = (
        'in a Location alone' => $location->($handler),
        'with a Require in another Location' => $location->($handler) . $vhost->(qq(<Location "/x">\nRequire all denied\n</Location>)),
        'with a Require for some methods' => $location->("<Limit GET>\nRequire all granted\n</Limit>\n$handler"),
        'in no Location' => $handler,
        'in quotes' => $location->(qq(SetHandler "ha-zones")),
    );
    for my $how (sort keys %refused) {
        $httpd->write_config($zoned . $refused{$how});
        my ($fine, $said) = $httpd->check;
        my $conf = quotemeta $httpd->conf;
        ok(!$fine && $said =~ /SetHandler ha-zones \($conf:\d+\): no Require covers it.*Require ip/, "refused: $how") or diag $said;
    }
    my %taken = (
        'beside it' => $location->("$handler\nRequire all granted"),
        'in RequireAny' => $location->("<RequireAny>\nRequire ip 127.0.0.1\n</RequireAny>\n$handler"),
        'around it' => $location->("Require local\n<If \"true\">\n$handler\n</If>"),
    );
    for my $how (sort keys %taken) {
        $httpd->write_config($zoned . $taken{$how});
        my ($fine, $said) = $httpd->check;
        ok($fine, "taken with a Require $how") or diag $said;
    }
    chmod 0604, $token_file;
    $httpd->write_config($zoned . $taken{'beside it'});
    my ($fine, $said) = $httpd->check;
    chmod 0600, $token_file;
    ok(!$fine && $said =~ /\Q$token_file\E/ && $said !~ /$token/, 'refused: a token that others may read') or diag $said;
};

subtest 'a .htaccess cannot make it serve' => sub {
    my $httpd = $t->httpd(
        modules => \@modules,
        haproxy => 1,
        name => 'htaccess',
        config => $zoned . "<Directory \@ROOT\@/htdocs>\nAllowOverride FileInfo\n</Directory>\n"
    );
    mkdir $httpd->root . '/htdocs/zones';
    $t->write_file($httpd->root . '/htdocs/zones/.htaccess', "SetHandler ha-zones\n");
    $t->expect_log(qr/ha-zones: no Require covers/);
    $client = HA::Client->new(port => $httpd->port);
    is(make('STORAGE/x', 1), 403, 'where no Require covers it');
    ok($t->wait_for(qr{ha-zones: no Require covers /zones/STORAGE/x}), 'which the log tells');
};

subtest 'without a token of any application' => sub {
    $t->expect_log(qr/no HAZone has token=/);
    my $httpd = $t->httpd(
        modules => \@modules,
        haproxy => 1,
        name => 'tokenless',
        ports => 2,
        config => ($zoned =~ s/ token=\S+//r) . zone_address()
    );
    ok($t->wait_for(qr/SetHandler ha-zones \(.*:\d+\): no HAZone has token=/), 'the log tells at the start');
    $client = HA::Client->new(port => $httpd->port(2));
    my $answer = ask(GET => 'STORAGE/x');
    is($answer->status, 503, 'it serves nobody');
    is($answer->header('Retry-After'), 1, 'for now');
};

subtest 'a Require that does not let in' => sub {
    $t->expect_log(qr/client denied by server configuration/);
    my $httpd = $t->httpd(
        modules => \@modules,
        haproxy => 1,
        name => 'denied',
        ports => 2,
        config => $zoned . zone_address('Require all denied')
    );
    $client = HA::Client->new(port => $httpd->port(2));
    is(status(GET => 'STORAGE/x'), 403, 'keeps out who has the token');
};

$t->done;
