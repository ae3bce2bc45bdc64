# SPDX-License-Identifier: Apache-2.0
# Sessions go on when the proxy is restarted, is told to carry them by other means, or loses a child,
# and when an operator takes an instance out.
use v5.36;

use HA::Manager;
use HA::Test;
use HA::Zone qw(all_serve begin_cart cart cart_of each_way end_cart holder);

use constant CLIENTS => 20;

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B);
# Instances are killed on purpose.
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

# A new session with tea in its cart: its client, the instance that has it, and the other one.
sub session($proxy)
{
    my $client = $t->client(port => $proxy->port);
    return ($client, holder(cart($client, '/App/cart?add=tea'), @apps));
}

# The state lives: another instance gets it.
sub survives($proxy, $client, $items)
{
    my ($holder, $other) = holder(cart($client, '/App/cart'), @apps);
    $holder->kill;
    my $cart = cart($client, '/App/cart');
    is("$cart->{instance} $cart->{items}", $other->name . " $items", 'and another instance has it when that one is dead');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub graceful_restarts($proxy)
{
    my ($client, $holder) = session($proxy);
    my $items = 'tea';
    for my $n (1 .. 3) {
        $proxy->graceful;
        $proxy->settle;
        my $cart = cart($client, "/App/cart?add=item$n");
        $items .= ",item$n";
        is("@$cart{qw(instance items epoch)}", $holder->name . " $items 1", "a session goes on after the $n. restart");
    }
    survives($proxy, $client, $items);
    return;
}

sub graceful_restart_within_a_request($proxy)
{
    my ($client, $holder) = session($proxy);
    $holder->answers_hold(1);
    begin_cart($client, '/App/cart?add=milk', method => 'POST', body => 'x');
    $holder->answers_wait(1);
    $proxy->graceful;
    $holder->answers_open;
    is(end_cart($client, method => 'POST')->{items}, 'tea,milk', 'a request that was under way is answered');
    $proxy->settle;
    is(cart($client, '/App/cart')->{items}, 'tea,milk', 'the session goes on');
    survives($proxy, $client, 'tea,milk');
    return;
}

# An instance that hangs, and its late answer is heard by a child of before the restart.
sub restart_and_a_late_answer($proxy)
{
    my ($client, $holder, $other) = session($proxy);
    my $quick = $t->client(port => $proxy->port);
    $quick->set_cookie('zsessionid', $client->cookie('zsessionid'));
    $holder->answers_hold(1);
    begin_cart($client, '/App/cart?add=late', method => 'POST', body => 'x');
    $holder->answers_wait(1);
    $proxy->graceful;
    $holder->refuse;
    my $cart = cart($quick, '/App/cart?add=milk');
    is("$cart->{instance} $cart->{items}", $other->name . ' tea,milk', 'new children give a session to another instance');
    $holder->answers_open;
    is(end_cart($client, method => 'POST')->{status}, 503, 'and an old one does not hear the first any more');
    $holder->accept;
    $proxy->settle;
    all_serve($t, $proxy, @apps);
    is(cart($quick, '/App/cart')->{items}, 'tea,milk', 'what it says does not count');
    return;
}

sub switch_path($proxy, $lane, $how)
{
    my ($client, $holder) = session($proxy);
    my $other_way = $lane eq 'On' ? 'Off' : 'On';
    my $items = 'tea';
    my ($from, $to) = ($lane, $other_way);
    for my $n (1 .. 2) {
        # A child without a lane, given an idle client, waits for its request before it can end.
        $client->close;
        $proxy->write_config($proxy->{config} =~ s/^HALane \K$from$/$to/mr);
        $proxy->$how;
        $proxy->settle;
        my $cart = cart($client, "/App/cart?add=item$n");
        $items .= ",item$n";
        is("@$cart{qw(instance items)}", $holder->name . " $items", "a session goes on with HALane $to, after a $how");
        ($from, $to) = ($to, $from);
    }
    survives($proxy, $client, $items);
    return;
}

# What was answered is stored, whoever dies at that moment.
sub children_die($proxy)
{
    my @clients = map {$t->client(port => $proxy->port, retry => 0)} 1 .. CLIENTS;
    my @items = map {cart($_, '/App/cart?add=tea')->{items}} @clients;
    for my $round (1 .. 4) {
        begin_cart($_, "/App/cart?add=item$round", method => 'POST', body => 'x') for @clients;
        $proxy->kill_children;
        for my $i (0 .. $#clients) {
            my $cart = cart_of($clients[$i]->read_response('POST'));
            $items[$i] = $cart->{items} if $cart->{status} == 200;
            $clients[$i]->close;
        }
    }
    my @lost;
    my $victim = $apps[0];
    $victim->kill;
    for my $i (0 .. $#clients) {
        my $now = cart($clients[$i], '/App/cart')->{items} // 'none';
        push @lost, "$items[$i] is $now" if $now !~ /^\Q$items[$i]\E(?:,|$)/;
    }
    is("@lost", '', 'all children are killed with requests under way, and what was answered is stored');
    $victim->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub order($proxy, $app, $what, $on)
{
    $proxy->settle;
    $t->mark;
    HA::Manager->new(port => $proxy->port)->tell('App', $app->url, $what, $on);
    $t->wait_for(qr/member ${\$app->name}: \w+ -> \w+, by an operator/);
    return;
}

sub drained($proxy)
{
    my ($client, $holder, $other) = session($proxy);
    order($proxy, $holder, drain => 1);
    my $cart = cart($client, '/App/cart?add=milk');
    is("@$cart{qw(instance items)}", $holder->name . ' tea,milk', 'an instance that drains keeps its sessions');
    $holder->stop;
    $cart = cart($client, '/App/cart?add=sugar');
    is("@$cart{qw(instance items)}", $other->name . ' tea,milk,sugar', 'and when it ends, another one gets them');
    $holder->start;
    order($proxy, $holder, drain => 0);
    all_serve($t, $proxy, @apps);
    return;
}

sub disabled($proxy)
{
    my ($client, $holder, $other) = session($proxy);
    my $old = $client->cookie('zsessionid');
    order($proxy, $holder, disable => 1);
    my $cart = cart($client, '/App/cart?add=milk');
    is("@$cart{qw(instance items epoch)}", $other->name . ' tea,milk 2', 'an instance in maintenance gives its sessions away');
    order($proxy, $holder, disable => 0);
    all_serve($t, $proxy, @apps);
    my $late = $t->client(port => $proxy->port);
    $late->set_cookie('zsessionid', $old);
    $cart = cart($late, '/App/cart');
    is("@$cart{qw(instance items epoch)}", $other->name . ' tea,milk 2', 'and does not get them back, whatever the cookie');
    return;
}

sub stories($proxy, $lane, @nodes)
{
    all_serve($t, $proxy, @apps);
    subtest 'graceful restarts' => sub { graceful_restarts($proxy) };
    subtest 'one within a request' => sub { graceful_restart_within_a_request($proxy) };
    subtest 'one before a late answer' => sub { restart_and_a_late_answer($proxy) };
    subtest "the other path, by a $_" => sub { switch_path($proxy, $lane, $_) } for qw(graceful restart);
    subtest 'children that die' => sub { children_die($proxy) };
    subtest 'an instance that drains' => sub { drained($proxy) };
    subtest 'an instance in maintenance' => sub { disabled($proxy) };
    return;
}

my $manager = qq(<Location "/manager">\nSetHandler balancer-manager\n</Location>\n);

my @how = (
    check => 'interval=100ms timeout=10s', more => $manager, mpm => 'event',
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests authz_host)]
);

each_way($t, \@apps, \&stories, @how, stores => ['shm']);
each_way($t, \@apps, \&stories, @how, stores => ['memcached'], lanes => ['On']);

$t->done;
