# SPDX-License-Identifier: Apache-2.0
# A state is kept for its time, and for no less than that: a failover takes nothing of it, and a clock
# that is set only what doc/zone-record.md says.
use v5.36;

use POSIX qw(mktime);
use Time::HiRes qw(time);

use HA::Clock;
use HA::Memcached;
use HA::Test;
use HA::Zone qw(begin_cart cart each_way end_cart put_fields record_name stored without zone_httpd);

use constant {DAY => 86400, TTL_MAX => 30 * 86400, TTL => 1800, SLACK => 60};

my $t = HA::Test->new;
my @apps = my ($a, $b) = map {$t->app($_, zones => 1)} qw(hostA hostB);
my $clock = HA::Clock->new($t);
$t->expect_log(
    qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114|AH0(?:0898|1102)/
);

# A client with a session on hostA that has tea in its cart, and its first answer.
sub on_host_a($proxy)
{
    while (1) {
        my $client = $t->client(port => $proxy->port);
        my $cart = cart($client, '/App/cart?add=tea');
        return ($client, $cart) if $cart->{instance} eq 'hostA';
    }
}

my %month = map {(qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$_] => $_} 0 .. 11;

# How far the server's clock is from ours, as its own answers tell.
sub off($proxy)
{
    my $answer = $t->client(port => $proxy->port, cookies => 0, keep_alive => 0)->get('/nothing');
    my ($day, $month, $year, $h, $m, $s) = $answer->header('Date') =~ /, (\d+) (\w+) (\d+) (\d+):(\d+):(\d+)/;
    local $ENV{TZ} = 'UTC';
    POSIX::tzset();
    return mktime($s, $m, $h, $day, $month{$month}, $year - 1900) - time;
}

# The clock is set in the middle of a conversation, and of a failover.
sub clock_is_set($proxy, $lane, @nodes)
{
    my @steps = (DAY, -DAY(), -3600, 3600, 0);
    my ($talks) = on_host_a($proxy);
    my $items = 'tea';
    for my $step (@steps) {
        my ($client, $cart) = on_host_a($proxy);
        my ($waits) = on_host_a($proxy);
        $clock->set($step);
        cmp_ok(abs(off($proxy) - $step), '<', SLACK, "the clock is set to $step s");
        $items .= ",item$step";
        is(cart($talks, "/App/cart?add=item$step")->{items}, $items, 'a conversation goes on');
        $a->answers_hold(1);
        begin_cart($waits, '/App/cart?add=milk');
        $a->answers_wait(1);
        $clock->set(-$step);
        my $how = "hostA is lost when the clock is set to @{[-$step]} s, and";
        my $lost = sub {
            my $late = end_cart($waits);
            is("$late->{status} $late->{items}", '200 tea,milk', "$how a request at it is repeated") if $lane eq 'On';
            is(cart($client, '/App/cart')->{items}, 'tea', "$how a session is kept");
            is(cart($talks, '/App/cart')->{items}, $items, 'the other one, too');
            my $name = record_name($cart->{session});
            ok(abs($_->life($name) - TTL) < SLACK, 'for its whole time') for @nodes;
        };
        without($t, $a, $lost);
        without($t, $b, sub { is(cart($talks, '/App/cart')->{items}, $items, 'and moves back') });
    }
    return;
}

# So long a state will be kept yet, as all nodes say; or L2, without any. A list of what is in memcached
# may lack what is being moved.
sub lives($seconds, $what, $proxy, $id, @nodes)
{
    my $name = record_name($id);
    my @lives = @nodes ? map {$_->life($name)} @nodes : stored($proxy, $id)->header('HA-TTL');
    ok(defined && abs($_ - $seconds) < SLACK, $what) || diag 'it is kept ' . ($_ // 0) . ' s' for @lives;
    return;
}

# What is left of the time of a record of this proxy's, when its clock is set by so many seconds.
sub rest($step)
{
    return $step > 0 ? TTL - $step : TTL;
}

# A step that a record outlives looks like time that has passed. A touch gives that back when it gains
# an eighth of it all.
sub clock_is_set_by_less($proxy, $lane, @nodes)
{
    my @steps = ([600, '/App/cart?add=milk', TTL], [1700, '/App/touch', TTL], [200, '/App/touch', TTL - 200], [-600, '/App/touch', TTL]);
    my @sessions = map {[@$_, on_host_a($proxy)]} @steps;
    my $lost = sub {
        for my $session (@sessions) {
            my ($step, $path, $after, $client, $cart) = @$session;
            my $id = $cart->{session};
            $clock->set($step);
            is(cart($client, '/App/cart')->{items}, 'tea', "the clock is set by $step s, hostA is lost, and a session is kept");
            lives(rest($step), "for @{[rest($step)]} s", $proxy, $id, @nodes);
            cart($client, $path);
            lives($after, "and for $after s after $path", $proxy, $id, @nodes);
        }
    };
    without($t, $a, $lost);
    $clock->set(0);
    return;
}

sub copy_is_repaired($proxy, $lane, @nodes)
{
    my ($client, $cart) = on_host_a($proxy);
    my $id = $cart->{session};
    for my $step (600, -600) {
        $clock->set($step);
        $nodes[1]->ask('delete ' . record_name($id));
        is(stored($proxy, $id)->status, 200, "the clock is set by $step s, and a copy that is missing is repaired");
        lives(rest($step), "for @{[rest($step)]} s", $proxy, $id, $nodes[1]);
        lives(TTL, 'the other one lives on', $proxy, $id, $nodes[0]);
        $clock->set(0);
    }
    return;
}

subtest 'the clock is set' => sub {
    my $stories = sub (@of) {
        clock_is_set(@of);
        clock_is_set_by_less(@of);
        copy_is_repaired(@of) if @of > 2;
    };
    each_way($t, \@apps, $stories, zone => 'budget=1s', env => $clock->env);
    $clock->set(0);
};

subtest 'clocks of proxies differ' => sub {
    my @own = map {HA::Memcached->new($t, "memcached-differ$_")} 1, 2;
    my %common = (nodes => \@own, counted => 1, zone => 'budget=1s recheck=0');
    my $right = zone_httpd($t, \@apps, name => 'right', %common);
    my $off = zone_httpd($t, \@apps, name => 'off', lane => 'Off', env => $clock->env, %common);
    my %session = map {$_ => [on_host_a($right)]} 600, -600;
    # One of which little is left.
    $a->zone_ttl(20);
    $session{15} = [on_host_a($right)];
    $a->zone_ttl(TTL);
    my $id = sub ($step) { $session{$step}[1]{session} };
    my $by = sub ($proxy, $step, $path) { cart($t->client(port => $proxy->port, jar => $session{$step}[0]{jar}), $path)->{items} };
    my $lost = sub {
        for my $step (15, 600, -600) {
            $clock->set($step);
            is($by->($off, $step, '/App/cart'), 'tea', "hostA is lost, and a proxy whose clock is $step s off gives its session away");
            lives(rest($step), "for @{[rest($step)]} s", $off, $id->($step), @own) if $step != 15;
        }
        for my $step (600, -600) {
            is($by->($right, $step, '/App/cart?add=milk'), 'tea,milk', 'what changes through the other one');
            lives(TTL, 'lives its whole time', $right, $id->($step), @own);
        }
    };
    without($t, $a, $lost);
    my $name = record_name($id->(15));
    $t->wait_for(sub { !grep {defined $_->get($name)} @own }, 15, 'the end of a record that had 20 s before');
    is($by->($off, 15, '/App/cart'), 'tea', 'a session whose time has ended so is with its instance');
    my $gone = sub {
        is($by->($off, 15, '/App/cart'), '', 'and lost with that');
        is($by->($right, $_, '/App/cart'), 'tea,milk', 'others are kept') for 600, -600;
    };
    without($t, $b, $gone);
    $clock->set(0);
    $_->stop for $right, $off;
};

subtest 'the clock is set, and a session only touched from then on' => sub {
    my @own = map {HA::Memcached->new($t, "memcached-touch$_")} 1, 2;
    for my $lane ('On', 'Off') {
        my $set = zone_httpd($t, \@apps, name => "touch-$lane", lane => $lane, nodes => \@own,
            zone => 'budget=1s recheck=0', env => $clock->env);
        for my $step (DAY, -DAY(), -TTL()) {
            my ($client, $cart) = on_host_a($set);
            my $name = record_name($cart->{session});
            my @old = map {$_->get($name)} @own;
            $clock->set($step);
            cart($client, '/App/touch') for 1 .. 2;
            my @new = map {$_->get($name)} @own;
            isnt($new[$_], $old[$_], "HALane $lane, $step s: it gets its time anew") for 0, 1;
            cart($client, '/App/touch') for 1 .. 3;
            is_deeply([map {$_->get($name)} @own], \@new, 'but is not written for each touch');
            $clock->set(0);
        }
        $set->stop;
    }
};

my @nodes = map {HA::Memcached->new($t, "memcached-ttl$_")} 1, 2;
my $proxy = zone_httpd($t, \@apps, name => 'ttl', nodes => \@nodes, zone => 'budget=1s');

subtest 'a second' => sub {
    my $shm = zone_httpd($t, \@apps, name => 'ttl-shm', zone => 'budget=1s');
    $a->zone_ttl(1);
    my $begun = time;
    my ($client, $cart) = on_host_a($proxy);
    my $name = record_name($cart->{session});
    my ($other) = on_host_a($shm);
    is(cart($client, '/App/cart?add=milk')->{items}, 'tea,milk', 'a state has a second to live');
    $t->wait_for(sub { !grep {defined $_->get($name)} @nodes }, 15, 'the end of a record');
    my $lived = time - $begun;
    cmp_ok($lived, '>=', 1, 'it has it in memcached');
    cmp_ok($lived, '<', 10, 'and not much more');
    $a->zone_ttl(TTL);
    without(
        $t, $a,
        sub {
            is(cart($_, '/App/cart')->{items}, '', 'its instance is lost then: the session begins anew') for $client, $other;
        }
    );
    $shm->stop;
};

subtest 'the longest' => sub {
    for my $ttl (TTL_MAX, TTL_MAX + 1, 999_999_999_999_999) {
        my ($client, $cart) = on_host_a($proxy);
        my $name = record_name($cart->{session});
        $a->zone_say(put_fields($cart->{session}, 5, 'visits=1 items=fig', ttl => $ttl), 1);
        is(cart($client, '/App/cart')->{status}, 200, "$ttl s are said");
        ok(abs($_->life($name) - TTL_MAX) < SLACK, 'and are 30 days') for @nodes;
        without($t, $a, sub { is(cart($client, '/App/cart')->{items}, 'fig', 'the state is there') });
        ok(abs($_->life($name) - TTL_MAX) < SLACK, 'and stays so long after a failover') for @nodes;
    }
};

subtest 'touch' => sub {
    $_->zone_ttl(100) for @apps;
    my ($client, $cart) = on_host_a($proxy);
    my $name = record_name($cart->{session});
    ok($_->life($name) <= 101, 'a session has 100 s') for @nodes;
    $_->zone_ttl(TTL) for @apps;
    is(cart($client, '/App/touch')->{items}, 'tea', 'a touch leaves it as it is');
    ok(abs($_->life($name) - TTL) < SLACK, 'and gives it its time anew') for @nodes;
    my @values = map {$_->get($name)} @nodes;
    cart($client, '/App/touch') for 1 .. 3;
    is_deeply([map {$_->get($name)} @nodes], \@values, 'what would gain nothing is not written');
    $_->zone_ttl(100) for @apps;
    cart($client, '/App/touch');
    ok(abs($_->life($name) - TTL) < SLACK, 'nor is a shorter time') for @nodes;
    without($t, $a, sub { is(cart($client, '/App/cart')->{items}, 'tea', 'it is kept') });
};

$proxy->stop;
$t->done;
