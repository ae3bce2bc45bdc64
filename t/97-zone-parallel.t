# SPDX-License-Identifier: Apache-2.0
# Many requests of one session at once: each change counts, whatever the order in which their states
# arrive, and one of them alone moves the session when its instance has died.
use v5.36;

use HA::Test;
use HA::Zone qw(all_serve begin_cart cart counters each_way end_cart holder);

use constant CLIENTS => 50;

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B C);
# Instances are killed on purpose.
$t->expect_log(qr/App: member host[ABC] failed on|App: member host[ABC]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

# So many clients of one session with tea in its cart, and the instance that has it.
sub session($proxy)
{
    my @clients = map {$t->client(port => $proxy->port)} 1 .. CLIENTS;
    my $first = cart($clients[0], '/App/cart?add=tea');
    $_->set_cookie('zsessionid', $clients[0]->cookie('zsessionid')) for @clients;
    $clients[0]->close;
    $_->connect for @clients;
    return (\@clients, holder($first, @apps));
}

# All of them ask, before the first one reads. What they get, in order.
sub all_at_once($clients, $path, %opt)
{
    begin_cart($clients->[$_], "$path=item$_", %opt) for 0 .. $#$clients;
    return map {end_cart($_, method => $opt{method})} @$clients;
}

# How many of each there were: 'a:N b:N'.
sub tally(@values)
{
    my %n;
    $n{$_ // '-'}++ for @values;
    return join ' ', map {"$_:$n{$_}"} sort keys %n;
}

# What is not in the cart once, of the tea and what all have added.
sub amiss($cart)
{
    my %n = map {$_ => 0} 'tea', map {"item$_"} 0 .. CLIENTS - 1;
    $n{$_}++ for split /,/, $cart->{items} // '';
    return join ' ', map {"$_:$n{$_}"} grep {$n{$_} != 1} sort keys %n;
}

sub all_change($proxy, $method)
{
    my ($clients, $holder) = session($proxy);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    my $before = counters($proxy);
    my @carts = all_at_once($clients, '/App/cart?add', method => $method, @body);
    is(tally(map {$_->{status}} @carts), '200:' . CLIENTS, 'all are answered');
    is(tally(map {$_->{instance}} @carts), $holder->name . ':' . CLIENTS, 'by the one instance');
    is(tally(map {$_->{session}} @carts), "$carts[0]{session}:" . CLIENTS, 'in one session');
    my $after = counters($proxy);
    is("$after->{$_}", $before->{$_}, "none is counted as $_") for qw(fenced conflict unprotected refused);
    is(amiss(cart($clients->[0], '/App/cart')), '', 'the cart has all of it');
    $holder->kill;
    my $cart = cart($clients->[0], '/App/cart');
    isnt($cart->{instance}, $holder->name, 'and when that instance is dead');
    is(amiss($cart), '', 'it has so elsewhere');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub all_find_it_dead($proxy, $method)
{
    my ($clients, $holder) = session($proxy);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    $_->close for @$clients;
    $holder->kill;
    my $fenced = counters($proxy)->{fenced};
    my @carts = all_at_once($clients, '/App/cart?add', method => $method, @body);
    is(tally(map {$_->{status}} @carts), '200:' . CLIENTS, 'all are answered');
    is(tally(map {$_->{session}} @carts), "$carts[0]{session}:" . CLIENTS, 'in one session');
    is(tally(map {$_->{instance}} @carts), "$carts[0]{instance}:" . CLIENTS, 'which has gone to one instance');
    is(tally(map {$_->{epoch}} @carts), '2:' . CLIENTS, 'once');
    is(counters($proxy)->{fenced}, $fenced, 'and nothing of it is fenced');
    is(amiss(cart($clients->[0], '/App/cart')), '', 'the cart has all of it');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

# They are on their way when it dies: the lane sends them again.
sub it_dies_meanwhile($proxy)
{
    my ($clients, $holder) = session($proxy);
    $holder->answers_hold;
    begin_cart($clients->[$_], "/App/cart?add=item$_") for 0 .. $#$clients;
    $holder->answers_wait(CLIENTS);
    $holder->kill;
    my @carts = map {end_cart($_)} @$clients;
    is(tally(map {$_->{status}} @carts), '200:' . CLIENTS, 'all are answered');
    is(tally(map {$_->{session}} @carts), "$carts[0]{session}:" . CLIENTS, 'in one session');
    is(amiss(cart($clients->[0], '/App/cart')), '', 'the cart has each change once');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub all_find_it_restarted($proxy, $method)
{
    my ($clients, $holder) = session($proxy);
    my @body = $method eq 'POST' ? (body => 'x' x 1000) : ();
    $holder->zone_forget;
    my @carts = all_at_once($clients, '/App/cart?add', method => $method, @body);
    is(tally(map {$_->{status}} @carts), '200:' . CLIENTS, 'all are answered');
    is(tally(map {$_->{session}} @carts), "$carts[0]{session}:" . CLIENTS, 'in one session');
    is(amiss(cart($clients->[0], '/App/cart')), '', 'the cart has all of it');
    return;
}

# Its instance is dead, and the store has lost it.
sub all_find_nothing($proxy, $method, @nodes)
{
    my ($clients, $holder) = session($proxy);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    $_->close for @$clients;
    $holder->kill;
    $_->flush for @nodes;
    my @carts = all_at_once($clients, '/App/cart?add', method => $method, @body);
    is(tally(map {$_->{status}} @carts), '200:' . CLIENTS, 'all are answered');
    is(join(',', map {$_->{items} // '-'} @carts), join(',', map {"item$_"} 0 .. CLIENTS - 1), 'and begin anew');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

# Clients who find nobody with their session get one each, and no more.
sub all_begin($proxy)
{
    my @clients = map {$t->client(port => $proxy->port)} 1 .. CLIENTS;
    my @carts = all_at_once(\@clients, '/App/cart?add');
    my %sessions = map {$_->{session} => 1} @carts;
    is(scalar keys %sessions, CLIENTS, 'new clients get a session each');
    $apps[0]->kill;
    my @again = map {cart($_, '/App/cart')} @clients;
    is(join(' ', map {"$_->{session} $_->{items}"} @again), join(' ', map {"$_->{session} $_->{items}"} @carts),
        'and have it still when an instance is dead');
    $apps[0]->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub stories($proxy, $lane, @nodes)
{
    all_serve($t, $proxy, @apps);
    subtest "all change the session by $_" => sub { all_change($proxy, $_) } for qw(GET POST);
    subtest "all find its instance dead, by $_" => sub { all_find_it_dead($proxy, $_) } for qw(GET POST);
    subtest 'it dies meanwhile' => sub { it_dies_meanwhile($proxy) } if $lane eq 'On';
    subtest "all find it restarted, by $_" => sub { all_find_it_restarted($proxy, $_) } for qw(GET POST);
    subtest "all find nothing, by $_" => sub { all_find_nothing($proxy, $_, @nodes) } for @nodes ? qw(GET POST) : ();
    subtest 'all begin' => sub { all_begin($proxy) };
    return;
}

# Nobody is down who is only slow.
each_way($t, \@apps, \&stories, check => 'interval=100ms timeout=10s');

$t->done;
