# SPDX-License-Identifier: Apache-2.0
# An instance dies, at any moment of a request, or is restarted: a session goes on with the state that
# was stored, and what must not be done twice is not.
use v5.36;

use HA::Test;
use HA::Zone qw(all_serve begin_cart cart cart_of each_way end_cart holder put_fields);

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B C);
# Instances are killed on purpose.
$t->expect_log(qr/App: member host[ABC] failed on|App: member host[ABC]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

# A new session with tea in its cart: its client, the instance that has it, and the others. The next
# request is the first on its connection: mod_proxy ends a kept one without a word when an instance
# dies, and the client is to send it again.
sub session($proxy)
{
    my $client = $t->client(port => $proxy->port, retry => 0);
    my $first = cart($client, '/App/cart?add=tea');
    $client->close;
    return ($client, holder($first, @apps));
}

# How often requests with these tags were served by instances, not only seen.
sub served($tag)
{
    my @entries = map {$_->ledger} grep {$_->running} @apps;
    return scalar grep {$_->{tag} eq $tag && $_->{phase} eq 'answered'} @entries;
}

sub tag($tag)
{
    return (headers => {'X-Request-Tag' => $tag});
}

sub dies_again_and_again($proxy)
{
    my ($client) = session($proxy);
    my $items = 'tea';
    my %seen;
    for my $n (1 .. 4) {
        my $cart = cart($client, "/App/cart?add=item$n");
        $items .= ",item$n";
        is($cart->{items}, $items, "the cart is whole for the $n. time");
        my ($holder) = holder($cart, @apps);
        $seen{$holder->name}++;
        $holder->kill;
        my $after = cart($client, '/App/cart');
        is($after->{items}, $items, 'and is so without the instance that had it');
        isnt($after->{instance}, $holder->name, 'at another one');
        $holder->start;
        all_serve($t, $proxy, @apps);
    }
    return;
}

# On the standard path what was sent is not sent again.
sub dies_before_it_answers($proxy, $lane)
{
    my ($client, $holder) = session($proxy);
    $holder->answers_hold(1);
    begin_cart($client, '/App/cart?add=milk');
    $holder->answers_wait(1);
    $holder->kill;
    my $cart = end_cart($client);
    is($cart->{status}, $lane eq 'On' ? 200 : 502, 'a GET');
    isnt($cart->{instance}, $holder->name, 'is not answered by the one that died');
    my $items = $lane eq 'On' ? 'tea,milk' : 'tea';
    is($cart->{items}, $items, 'but from the state before, with what it does once') if $lane eq 'On';
    is(cart($client, '/App/cart')->{items}, $items, 'the state before counts');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub dies_before_it_answers_a_post($proxy)
{
    my ($client, $holder) = session($proxy);
    $holder->answers_hold(1);
    begin_cart($client, '/App/cart?add=milk', method => 'POST', body => 'x', tag('pay'));
    $holder->answers_wait(1);
    $holder->kill;
    my $cart = end_cart($client, method => 'POST');
    is($cart->{status}, 502, 'a POST fails, as it may have been carried out');
    is(cart($client, '/App/cart')->{items}, 'tea', 'the state is that of before');
    is(served('pay'), 0, 'nobody else has carried it out');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub dies_within_its_answer($proxy)
{
    my ($client, $holder) = session($proxy);
    my $id = $client->cookie('zsessionid') =~ s/\..*//r;
    $holder->zone_say(put_fields($id, 100, 'visits=0 items=tea,early'), 1);
    $client->send($client->format_request('GET', '/App/chunked?n=4000000&chunk=1000&delay=1'));
    my $head = $client->read_raw(until => qr/\r\n\r\n/);
    $holder->kill;
    like($head, qr{^HTTP/1\.1 200 }, 'the head of an answer was passed on');
    $client->close;
    my $cart = cart($client, '/App/cart');
    isnt($cart->{instance}, $holder->name, 'its instance died within the body');
    is($cart->{items}, 'tea,early', 'the state that came with the head is kept');
    is($cart->{version}, 100, 'in its version');
    $holder->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub is_restarted($proxy)
{
    my ($client, $holder) = session($proxy);
    $holder->kill;
    $holder->start;
    all_serve($t, $proxy, @apps);
    my $cart = cart($client, '/App/cart?add=milk');
    is($cart->{instance}, $holder->name, 'the one that was restarted has the session still');
    is($cart->{items}, 'tea,milk', 'with all that it had');
    is($holder->zone_count->{miss}, 1, 'as it has asked for it');
    cart($client, '/App/cart');
    is($holder->zone_count->{miss}, 1, 'once');
    return;
}

# A POST with so many bytes, as the first thing that an instance gets after its restart.
sub is_restarted_before_a_post($proxy, $bytes, $status, %how)
{
    my ($client, $holder) = session($proxy);
    $holder->zone_forget;
    my $body = 'x' x $bytes;
    my @body = $how{chunked} ? (chunks => [unpack '(a5000)*', $body]) : (body => $body);
    my $tag = "post$bytes" . ($how{chunked} ? 'chunked' : '') . ++$t->{tags};
    my $cart = cart($client, '/App/cart?add=milk', method => 'POST', @body, tag($tag));
    is($cart->{status}, $status, "a POST of $bytes bytes " . ($how{chunked} ? 'in chunks' : ''));
    my @entries = grep {$_->{tag} eq $tag} $holder->ledger;
    is($entries[-1]{length}, $bytes, 'all of its body came');
    my $once = $status == 200 ? 'tea,milk' : 'tea';
    is(cart($client, '/App/cart')->{items}, $once, $status == 200 ? 'it was carried out once' : 'it was not carried out');
    return;
}

sub asks_for_the_state_all_the_same($proxy)
{
    my ($client, $holder) = session($proxy);
    $holder->zone_say(['HA-Session: miss'], 1);
    my $cart = cart($client, '/App/cart', method => 'POST', body => 'x' x 200_000, tag('long'));
    is($cart->{status}, 503, 'a POST of 200,000 bytes cannot be sent again');
    is(scalar(grep {$_->{tag} eq 'long'} map {$_->ledger} @apps), 1, 'and is not');
    $_->ledger_clear for @apps;
    return;
}

sub stories($proxy, $lane, @)
{
    subtest 'one instance after the other dies' => sub { dies_again_and_again($proxy) };
    subtest 'an instance dies before it answers' => sub { dies_before_it_answers($proxy, $lane) };
    subtest 'it does before it answers a POST' => sub { dies_before_it_answers_a_post($proxy) };
    subtest 'it does within an answer' => sub { dies_within_its_answer($proxy) };
    subtest 'it is restarted under its route' => sub { is_restarted($proxy) };
    subtest 'it has lost its memory, and gets a POST' => sub {
        is_restarted_before_a_post($proxy, 0, 200);
        is_restarted_before_a_post($proxy, 40_000, 200);
        is_restarted_before_a_post($proxy, 40_000, 200, chunked => 1);
        is_restarted_before_a_post($proxy, 200_000, 200);
    };
    subtest 'an instance asks for a state that it was given' => sub { asks_for_the_state_all_the_same($proxy) };
    return;
}

each_way($t, \@apps, \&stories, check => 'interval=100ms timeout=10s');

$t->done;
