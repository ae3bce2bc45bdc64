# SPDX-License-Identifier: Apache-2.0
# A logout counts whatever comes late, a login leaves the old id behind, and an id that somebody made
# up is worth nothing.
use v5.36;

use HA::Mount qw(faster);
use HA::Test;
use HA::Zone qw(all_serve begin_cart cart counters each_way end_cart holder two_clients);

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B);
# Instances die and hang on purpose.
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

# Two clients of one session, who connect anew, the instance that has it, and the other one.
sub session($proxy)
{
    my @session = two_clients($t, $proxy, @apps);
    $_->close for @session[0, 1];
    return @session;
}

sub id_of($client)
{
    return $client->cookie('zsessionid') =~ s/\..*//r;
}

# What a client gets who comes with an id, bound to that instance.
sub with_id($proxy, $id, $app, $path = '/App/cart')
{
    my $client = $t->client(port => $proxy->port);
    $client->set_cookie('zsessionid', "$id." . $app->name);
    return cart($client, $path);
}

# The session of this id is nowhere, whoever is asked and whoever is dead.
sub is_over($proxy, $id)
{
    for my $app (@apps) {
        my $cart = with_id($proxy, $id, $app);
        is($cart->{items}, '', 'a client with its cookie of ' . $app->name . ' finds nothing in the cart');
        isnt($cart->{session}, $id, 'of a new session');
    }
    for my $app (@apps) {
        $app->kill;
        my $cart = with_id($proxy, $id, $app);
        is($cart->{items}, '', 'nor without ' . $app->name);
        isnt($cart->{session}, $id, 'of a new session');
        $app->start;
        all_serve($t, $proxy, @apps);
    }
    my @having = grep {$_->zone_sessions->{$id}} @apps;
    is("@{[map {$_->name} @having]}", '', 'and no instance has it');
    return;
}

# Of what was before the logout.
sub slow_write($proxy, $method)
{
    my ($slow, $quick, $holder) = session($proxy);
    my $id = id_of($quick);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    $holder->answers_hold(1);
    begin_cart($slow, '/App/cart?add=late', method => $method, @body);
    $holder->answers_wait(1);
    is($quick->get('/App/logout')->status, 200, "a logout is faster than a $method");
    is($quick->cookie('zsessionid'), undef, 'and takes the cookie back');
    my $fenced = counters($proxy)->{fenced};
    $holder->answers_open;
    end_cart($slow, method => $method);
    is(counters($proxy)->{fenced}, $fenced + 1, 'the slow one is fenced');
    is_over($proxy, $id);
    my $cart = cart($quick, '/App/cart?add=new');
    is("$cart->{items} " . ($cart->{session} eq $id ? 'old' : 'new'), 'new new', 'the client begins anew');
    return;
}

sub slow_write_that_is_repeated($proxy)
{
    my ($slow, $quick, $holder) = session($proxy);
    my $id = id_of($quick);
    $holder->answers_hold(1);
    begin_cart($slow, '/App/cart?add=late');
    $holder->answers_wait(1);
    is($quick->get('/App/logout')->status, 200, 'a logout is faster than a request');
    $holder->kill;
    my $cart = end_cart($slow);
    isnt($cart->{session} // '', $id, 'which is repeated elsewhere, or fails, but is not of that session');
    $holder->start;
    all_serve($t, $proxy, @apps);
    is_over($proxy, $id);
    return;
}

sub logout_after_a_failover($proxy)
{
    my ($client, undef, $holder, $other) = session($proxy);
    my $id = id_of($client);
    $t->mark;
    $holder->pause;
    $t->wait_for(qr/member ${\$holder->name}: \S+ -> down/);
    is(cart($client, '/App/cart?add=milk')->{instance}, $other->name, 'another instance has taken over');
    is($client->get('/App/logout')->status, 200, 'and the session is ended there');
    $holder->resume;
    all_serve($t, $proxy, @apps);
    is($holder->zone_sessions->{$id}{items}, 'tea', 'the first one remembers it');
    is_over($proxy, $id);
    return;
}

sub login($proxy)
{
    my ($client, $old, $holder, $other) = session($proxy);
    my $id = id_of($client);
    my $cart = cart($client, '/App/login');
    isnt($cart->{session}, $id, 'a login gives a new id');
    is(id_of($client), $cart->{session}, 'which the client gets');
    is(cart($client, '/App/cart?add=milk')->{items}, 'tea,milk', 'the cart is there');
    $holder->kill;
    $cart = cart($client, '/App/cart');
    is("@$cart{qw(instance items)}", $other->name . ' tea,milk', 'also at another instance');
    $holder->start;
    all_serve($t, $proxy, @apps);
    is_over($proxy, $id);
    return;
}

sub login_that_adds($proxy)
{
    my ($client, undef, $holder) = session($proxy);
    my $id = id_of($client);
    my $cart = cart($client, '/App/login?add=milk');
    $holder->kill;
    is(cart($client, '/App/cart')->{items}, 'tea,milk', 'what is added with the login is there elsewhere');
    $holder->start;
    all_serve($t, $proxy, @apps);
    is_over($proxy, $id);
    return;
}

# The login was made before the logout, but is heard after it.
sub slow_login($proxy, $method)
{
    my ($slow, $quick, $holder) = session($proxy);
    my $id = id_of($quick);
    my @body = $method eq 'POST' ? (body => 'x') : ();
    $holder->answers_hold(1);
    begin_cart($slow, '/App/login', method => $method, @body);
    $holder->answers_wait(1);
    is($quick->get('/App/logout')->status, 200, "a logout is faster than a login by $method");
    $holder->answers_open;
    my $cart = end_cart($slow, method => $method);
    is($cart->{items} // '', '', 'the login brings back nothing');
    is(cart($slow, '/App/cart')->{items}, '', 'nor does what follows');
    is_over($proxy, $id);
    return;
}

sub ended_by_another($proxy)
{
    my ($client, undef, $holder) = session($proxy);
    my $id = id_of($client);
    my ($admin, undef, $his) = session($proxy);
    $his->zone_say([qq(HA-Session: del; id="$id")], 1);
    is($admin->get('/App/plain')->status, 200, 'an instance ends a session that is not its client\'s');
    is_over($proxy, $id);
    is(cart($admin, '/App/cart')->{items}, 'tea', 'and nothing else');
    return;
}

# A client that says to be the proxy.
sub forged_fields($proxy)
{
    my ($client, undef, $holder) = session($proxy);
    my $stripped = counters($proxy)->{stripped};
    my $forged = cart(
        $client, '/App/cart',
        headers => {'HA-Fence' => 99, 'ha_session' => 'restore; ver=99; parts=1', 'HA-Session-Data' => '0; dHJhcA'}
    );
    is($forged->{items}, 'tea', 'a state that a client sends is not taken');
    is($forged->{epoch}, 1, 'nor is its epoch');
    is(counters($proxy)->{stripped}, $stripped + 1, 'which is counted');
    my $fences = $holder->zone_count->{fence};
    cart($client, '/App/cart', headers => {Connection => 'keep-alive, HA-Fence, HA-Session'});
    is($holder->zone_count->{fence}, $fences + 1, 'no client takes off what the proxy says');
    return;
}

# The application may mean the one, and the proxy the other.
sub two_sessions($proxy)
{
    my ($client, undef, $holder) = session($proxy);
    my ($id, $route) = $client->cookie('zsessionid') =~ /(.*)\.(.*)/;
    my $both = "zsessionid=attackers.nobody; zsessionid=$id.$route";
    $holder->zone_forget;
    my $answer = $t->client(port => $proxy->port, cookies => 0)->get('/App/cart', headers => {Cookie => $both});
    isnt((HA::ZoneField::cart($answer) // {})->{session}, $id, 'a request with cookies of two sessions is of none');
    my $cart = with_id($proxy, 'attackers', $holder, '/App/cart');
    is($cart->{items} // '', '', 'and the one does not get what the other has');
    is(cart($client, '/App/cart')->{items}, 'tea', 'which is not lost');
    return;
}

my $made_up_n = 0;

sub made_up_id($proxy, @nodes)
{
    my $id = 'madeup' . ++$made_up_n;
    my @before = map {scalar $_->names} @nodes;
    my $unissued = counters($proxy)->{unissued};
    $_->zone_rules('off') for @apps;
    my $cart = with_id($proxy, $id, $apps[0], '/App/cart?add=trap');
    is("@$cart{qw(session items)}", "$id trap", 'an application takes an id that a client made up');
    $_->zone_rules('on') for @apps;
    is(counters($proxy)->{unissued}, $unissued + 1, 'its state is counted as of none');
    is(join(' ', map {scalar $_->names} @nodes), "@before", 'no record is made') if @nodes;
    $_->zone_forget for @apps;
    is_over($proxy, $id);
    return;
}

# The victim follows a link with the attacker's id, and logs in.
sub fixation($proxy)
{
    my $id = 'attackers' . ++$made_up_n;
    my $victim = $t->client(port => $proxy->port);
    $victim->set_cookie('zsessionid', "$id.hostA");
    $_->zone_rules('off') for @apps;
    cart($victim, '/App/cart?add=secret');
    my $cart = cart($victim, '/App/login?add=money');
    $_->zone_rules('on') for @apps;
    is($cart->{items}, 'secret,money', 'the victim has its cart after the login');
    my ($holder) = holder($cart, @apps);
    $holder->kill;
    is(cart($victim, '/App/cart')->{items}, 'secret,money', 'also elsewhere');
    $holder->start;
    all_serve($t, $proxy, @apps);
    is_over($proxy, $id);
    return;
}

# Without a login the id is still one that anybody may know.
sub made_up_id_meets_the_rules($proxy)
{
    my $id = 'unknown' . ++$made_up_n;
    my $cart = with_id($proxy, $id, $apps[0], '/App/cart?add=tea');
    is($cart->{items}, 'tea', 'an application that knows the rules');
    isnt($cart->{session}, $id, 'gives a client with such an id another one');
    return;
}

sub stories($proxy, $lane, @nodes)
{
    all_serve($t, $proxy, @apps);
    subtest "a slow $_ and a logout" => sub { slow_write($proxy, $_) } for qw(GET POST);
    subtest 'a slow request that is repeated' => sub { slow_write_that_is_repeated($proxy) };
    subtest 'a logout after a failover' => sub { logout_after_a_failover($proxy) };
    subtest 'a login' => sub { login($proxy) };
    subtest 'a login with a change' => sub { login_that_adds($proxy) };
    subtest "a slow login by $_, and a logout" => sub { slow_login($proxy, $_) } for qw(GET POST);
    subtest 'a logout by somebody else' => sub { ended_by_another($proxy) };
    subtest 'cookies of two sessions' => sub { two_sessions($proxy) };
    subtest 'fields that a client made up' => sub { forged_fields($proxy) };
    subtest 'an id that a client made up' => sub { made_up_id($proxy, @nodes) };
    subtest 'such an id and a login' => sub { fixation($proxy) };
    subtest 'such an id and the rules' => sub { made_up_id_meets_the_rules($proxy) };
    return;
}

my @how = (check => 'interval=100ms fall=2 rise=1 timeout=' . faster('500ms', '1s'));

each_way($t, \@apps, \&stories, @how, stores => ['shm']);
each_way($t, \@apps, \&stories, @how, stores => ['memcached'], lanes => ['On']);

$t->done;
