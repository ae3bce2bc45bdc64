# SPDX-License-Identifier: Apache-2.0
# Faults of the store: no request fails, and as long as a copy of a session was anywhere it is found
# and put where it was missing (doc/zones.md, What is kept, what is lost).
use v5.36;

use Time::HiRes qw(sleep time);

use HA::Memcached;
use HA::Mount qw(faster);
use HA::Shoppers;
use HA::Test;
use HA::Zone qw(begin_cart cart counters end_cart holder record_name without zone_httpd);

use constant {BUDGET_SECONDS => 1, FAST_SECONDS => 0.5, HELD_SECONDS => 0.3, LARGE_BYTES => 20000};

my $t = HA::Test->new;
my %app = map {$_ => $t->app($_, zones => 1)} qw(hostA hostB);
my @apps = @app{qw(hostA hostB)};
$t->expect_log(
    qr/App: memcached 127\.0\.0\.1:\d+: /,
    qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114/
);

# With one megabyte it does not start unless values are at most half of that.
sub memcacheds(@megabytes)
{
    return map {
        my @args = $_ == 1 ? (args => ['-I', '512k']) : ();
        HA::Memcached->new($t, 'memcached' . ++$t->{memcacheds}, megabytes => $_, @args);
    } @megabytes;
}

# The end of a part: what it has started ends now, and at once.
sub finish($proxy, @nodes)
{
    $proxy->stop;
    $_->kill for grep {$_->running} @nodes;
    return;
}

# With recheck=0 each request looks into the store: what a copy lacks is put right by the next one.
sub proxy_of($name, $nodes, %opt)
{
    return zone_httpd($t, \@apps, name => $name, nodes => $nodes, zone => 'recheck=0 budget=1s', %opt);
}

sub wait_until_back($node)
{
    return $t->wait_for(qr/memcached \Q${\$node->address}\E: down -> up/);
}

# Both instances are lost, one after the other, and come back with nothing.
sub lose_each_instance($how, @shoppers)
{
    for my $app (@apps) {
        my $what = "$how, and ${\$app->name} is lost: all carts are as they were";
        without($t, $app, sub { is($_->look, 'kept:' . $_->count, $what) for @shoppers });
    }
    return;
}

sub fill($proxy, %opt)
{
    my $shoppers = HA::Shoppers->new($t, port => $proxy->port, %opt);
    is($shoppers->wait->{failed}, 0, 'carts are filled');
    return $shoppers;
}

for my $lane ('On', 'Off') {
    subtest "what an answer says is stored before the client sees its head, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my %zone = (zone => 'recheck=60s budget=' . BUDGET_SECONDS . 's');
        my $proxy = proxy_of("held-$lane", \@nodes, lane => $lane, %zone);
        my $client = $t->client(port => $proxy->port);
        my $first = cart($client, '/App/cart?add=tea');
        my ($id, $items, $holder) = ($first->{session}, 'tea', holder($first, @apps));
        for my $round (['one cannot' => $nodes[0]], ['the other one cannot' => $nodes[1]], ['both cannot' => @nodes]) {
            my ($which, @paused) = @$round;
            my @old = map {$_->get(record_name($id))} @nodes;
            $_->pause for @paused;
            begin_cart($client, '/App/cart?add=milk');
            is($client->read_raw(timeout => HELD_SECONDS), '', "$which store it: nothing comes");
            $items .= ',milk';
            is($holder->zone_sessions->{$id}{items}, $items, 'though the instance is done');
            $_->resume for @paused;
            my $cart = end_cart($client);
            is("$cart->{status} $cart->{items}", "200 $items", 'it comes when they go on');
            my @new = map {$_->get(record_name($id))} @nodes;
            isnt($new[$_], $old[$_], 'and the new state is stored') for 0, 1;
            is($new[0], $new[1], 'in both');
        }
        is($proxy->log->count(qr/memcached \S+: up -> down/), 0, 'which is no reason to give one up');
        finish($proxy, @nodes);
    };
}

for my $way (['On', 1000], ['Off', 300]) {
    my ($lane, $count) = @$way;
    subtest "a memcached is killed under load, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my $proxy = proxy_of("killed-$lane", \@nodes, lane => $lane);
        my %load = (clients => 50, sessions => $count / 50, rounds => 3000 / $count);
        my $shoppers = HA::Shoppers->new($t, port => $proxy->port, %load);
        $shoppers->wait_more(1000);
        $nodes[0]->kill;
        $shoppers->wait_more(100);
        my $result = $shoppers->wait;
        is($result->{answers}, 3000, 'all requests are answered');
        is_deeply($result->{failures}, [], 'and none of them wrongly');
        lose_each_instance('one memcached is dead', $shoppers);

        $nodes[0]->start;
        wait_until_back($nodes[0]);
        is($shoppers->look, "kept:$count", 'it comes back empty');
        is(scalar $nodes[0]->names, $count, 'and has all sessions after a request of each');
        $nodes[1]->kill;
        lose_each_instance('the other one is dead now', $shoppers);
        finish($proxy, @nodes);
    };
}

for my $lane ('On', 'Off') {
    subtest "a memcached is flushed, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my $proxy = proxy_of("flushed-$lane", \@nodes, lane => $lane, counted => 1);
        my $shoppers = fill($proxy);
        for my $node (@nodes) {
            $node->flush;
            is($shoppers->look, 'kept:100', 'all is read from the other one');
            is(scalar $node->names, 100, 'and put right');
        }
        is(counters($proxy)->{repaired}, 200, 'which is counted');
        $nodes[0]->flush;
        lose_each_instance('one has been flushed', $shoppers);
        finish($proxy, @nodes);
    };
}

for my $lane ('On', 'Off') {
    subtest "requests in the same millisecond, recheck=0, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my $proxy = proxy_of("each-$lane", \@nodes, lane => $lane);
        my $client = $t->client(port => $proxy->port);
        cart($client, '/App/cart?add=tea');
        my @before = map {$_->stat('cmd_get')} @nodes;
        $client->send($client->format_request(GET => '/App/cart') x 50);
        is($client->read_response('GET')->status, 200, "request $_ is answered") for 1 .. 50;
        cmp_ok($nodes[$_]->stat('cmd_get') - $before[$_], '>=', 50, 'each has asked the store') for 0, 1;
        finish($proxy, @nodes);
    };
}

# The proxies of both lanes have sessions of their own in the same nodes: one wait is enough for both.
for my $recheck (0, 1) {
    subtest "memcached are killed in turn, with a request of each session between, recheck=${recheck}s" => sub {
        my @nodes = memcacheds(64, 64);
        my %zone = (zone => "recheck=${recheck}s budget=1s");
        my @proxies = map {proxy_of("turns$recheck-$_", \@nodes, lane => $_, %zone)} 'On', 'Off';
        my @shoppers = map {fill($_)} @proxies;
        for my $node (@nodes, @nodes) {
            $node->kill;
            is($_->look(add => 'more', only => [0]), 'kept:1', 'one is dead, which is found out') for @shoppers;
            is($_->look, 'kept:100', 'and nobody notices') for @shoppers;
            $node->start;
            wait_until_back($node) for @proxies;
            # What was seen within recheck= is not looked for.
            sleep 1.2 * $recheck;
            is($_->look, 'kept:100', 'it comes back empty') for @shoppers;
            is(scalar $node->names, 200, 'and has all sessions after a request of each');
        }
        lose_each_instance('each was killed twice', @shoppers);
        $_->stop for @proxies;
        $_->kill for @nodes;
    };
}

for my $lane ('On', 'Off') {
    subtest "a memcached is too small, HALane $lane" => sub {
        my @nodes = memcacheds(1, 64);
        my $proxy = proxy_of("small-$lane", \@nodes, lane => $lane);
        $_->zone_pad(LARGE_BYTES) for @apps;
        my $shoppers = fill($proxy, sessions => 10);
        cmp_ok($nodes[0]->stat('evictions'), '>', 0, 'and has evicted records');
        cmp_ok(scalar $nodes[0]->names, '<', 200, 'so that it lacks some');
        is($nodes[1]->stat('evictions'), 0, 'which the other one has not');
        lose_each_instance('the other one has them all', $shoppers);
        finish($proxy, @nodes);
    };
}

for my $lane ('On', 'Off') {
    subtest "both are too small, HALane $lane" => sub {
        my @nodes = memcacheds(1, 1);
        my $proxy = proxy_of("both-small-$lane", \@nodes, lane => $lane);
        $_->restart, $_->zone_pad(LARGE_BYTES) for @apps;
        my $shoppers = fill($proxy, sessions => 10);
        cmp_ok($_->stat('evictions'), '>', 0, 'each has evicted records') for @nodes;
        like($shoppers->look, qr/^kept:200$/, 'the instances hold all');
        without(
            $t,
            $apps[0],
            sub {
                like($shoppers->look, qr/^kept:(?!200)\d+ anew:\d+$/, 'what is in neither is lost with its instance, and begins anew');
            }
        );
        cmp_ok($apps[1]->zone_count->{none}, '>', 0, 'which has been told so');
        is($apps[1]->zone_count->{error}, 0, 'and of no error');
        $_->zone_pad(0) for @apps;
        finish($proxy, @nodes);
    };
}

# How long each of so many requests takes.
sub durations($client, $path, $count)
{
    my @seconds;
    for (1 .. $count) {
        my $begun = time;
        my $cart = cart($client, $path);
        push @seconds, $cart->{status} == 200 ? time - $begun : 1000;
    }
    return @seconds;
}

for my $lane ('On', 'Off') {
    subtest "a memcached hangs, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my $proxy = proxy_of("hangs-$lane", \@nodes, lane => $lane, zone => 'recheck=0 budget=' . BUDGET_SECONDS . 's');
        my $client = $t->client(port => $proxy->port);
        my $first = cart($client, '/App/cart?add=tea');
        my ($from, $name) = ($first->{instance}, record_name($first->{session}));
        my $other = $t->client(port => $proxy->port);
        cart($other, '/App/cart?add=fig');
        my $old = $nodes[0]->get($name);
        $nodes[0]->pause;
        my @seconds = durations($client, '/App/cart?add=milk', 20);
        cmp_ok($seconds[0], '<', 3 * BUDGET_SECONDS, 'one request waits for about one budget');
        cmp_ok($seconds[0], '>', 0.9 * BUDGET_SECONDS, 'and does so');
        is(scalar(grep {$_ > FAST_SECONDS} @seconds), 1, 'and no other');
        my $ended = $t->client(port => $proxy->port);
        $ended->set_cookie(zsessionid => $other->cookie('zsessionid'), '/');
        is($other->get('/App/logout')->status, 200, 'another session is ended meanwhile');
        $nodes[0]->resume;
        wait_until_back($nodes[0]);
        is($nodes[0]->get($name), $old, 'it goes on with what it had');
        is(cart($ended, '/App/cart')->{items}, '', 'what has ended does not come back');
        without(
            $t,
            $app{$from},
            sub {
                my $cart = cart($client, '/App/cart');
                is($cart->{items}, join(',', 'tea', ('milk') x 20), 'the newer state wins');
                is($nodes[0]->get($name), $nodes[1]->get($name), 'and is put to both');
            }
        );
        finish($proxy, @nodes);
    };
}

subtest 'a memcached hangs under load' => sub {
    my @nodes = memcacheds(64, 64);
    my $proxy = proxy_of('hangs-under-load', \@nodes);
    my $shoppers = HA::Shoppers->new($t, port => $proxy->port, clients => 20, sessions => 10, rounds => 10, method => 'POST');
    $shoppers->wait_more(500);
    $nodes[0]->pause;
    $shoppers->wait_more(500);
    $nodes[0]->resume;
    wait_until_back($nodes[0]);
    my $result = $shoppers->wait;
    is_deeply($result->{failures}, [], 'no request fails');
    cmp_ok($result->{max_ms}, '<', faster(3000, 10000), 'or waits for long');
    lose_each_instance('it goes on', $shoppers);
    finish($proxy, @nodes);
};

subtest 'all memcached hang, and an instance is lost' => sub {
    my @nodes = memcacheds(64, 64);
    my $proxy = proxy_of('all-hang', \@nodes);
    my $shoppers = fill($proxy);
    $_->pause for @nodes;
    is($shoppers->look, 'kept:100', 'the instances hold all');
    my $before = $apps[1]->zone_count->{error};
    my $lost = sub {
        like($shoppers->look, qr/^kept:\d\d anew:\d\d$/, 'those of the lost one begin anew');
    };
    without($t, $apps[0], $lost);
    cmp_ok($apps[1]->zone_count->{error} - $before, '>', 0, 'as the store could not be asked');
    for my $node (@nodes) {
        $node->resume;
        wait_until_back($node);
    }
    is($shoppers->look(add => 'more'), 'kept:100', 'and go on');
    lose_each_instance('all are back', $shoppers);
    finish($proxy, @nodes);
};

subtest 'one of three memcached is left' => sub {
    my @nodes = memcacheds(64, 64, 64);
    my $proxy = proxy_of('three', \@nodes);
    my $shoppers = fill($proxy);
    my $copies = sub { my $n = 0; $n += $_->names for grep {$_->running} @nodes; $n };
    is($copies->(), 200, 'each session has two copies');
    $nodes[0]->kill;
    is($shoppers->look, 'kept:100', 'one is killed');
    is($copies->(), 200, 'each has two copies again');
    $nodes[1]->kill;
    is($shoppers->look, 'kept:100', 'another one is killed');
    lose_each_instance('one is left', $shoppers);
    for my $node (@nodes[0, 1]) {
        $node->start;
        wait_until_back($node);
        is($shoppers->look, 'kept:100', 'another one is back');
    }
    $nodes[2]->kill;
    lose_each_instance('and the third one dead', $shoppers);
    finish($proxy, @nodes);
};

for my $lane ('On', 'Off') {
    subtest "no memcached can be reached, HALane $lane" => sub {
        my @nodes = memcacheds(64, 64);
        my $proxy = proxy_of("none-$lane", \@nodes, lane => $lane, counted => 1);
        my $shoppers = HA::Shoppers->new($t, port => $proxy->port, rounds => 10);
        $shoppers->wait_more(100);
        $_->kill for @nodes;
        $shoppers->wait_more(100);
        my $later = HA::Shoppers->new($t, port => $proxy->port);
        is_deeply($_->wait->{failures}, [], 'requests do not notice') for $shoppers, $later;
        cmp_ok(counters($proxy)->{unprotected}, '>=', 200, 'but they are counted');
        for my $node (@nodes) {
            $node->start;
            wait_until_back($node);
        }
        is($_->look(add => 'more'), 'kept:100', 'with the next change') for $shoppers, $later;
        is(counters($proxy)->{unissued}, 0, 'none is taken for made up');
        lose_each_instance('sessions are protected again, those too that began meanwhile:', $shoppers, $later);
        finish($proxy, @nodes);
    };
}

$t->done;
