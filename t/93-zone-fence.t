# SPDX-License-Identifier: Apache-2.0
# An instance hangs, others go on without it, and it comes back: neither what it says late nor what it
# remembers counts, and old cookies move no session.
use v5.36;

use HA::Mount qw(faster);
use HA::Test;
use HA::Zone qw(all_serve begin_cart cart cart_of counters each_way end_cart leaked two_clients);

my $t = HA::Test->new;
my @apps = map {$t->app("host$_", zones => 1)} qw(A B);
# Instances hang on purpose.
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110)/);

sub hang($app)
{
    $t->mark;
    $app->pause;
    $t->wait_for(qr/member ${\$app->name}: \S+ -> down/);
    return;
}

sub goes_on($proxy, $app)
{
    $app->resume;
    $app->answers_open;
    return;
}

# While the answer to this request waits, its instance hangs, and the session goes to the other one.
# What comes of the request, and all that is needed to go on.
sub late($proxy, $path, %opt)
{
    my ($slow, $quick, $holder, $other) = two_clients($t, $proxy, @apps);
    my $before = counters($proxy)->{fenced};
    $holder->answers_hold(1);
    begin_cart($slow, $path, %opt);
    $holder->answers_wait(1);
    hang($holder);
    my $cart = cart($quick, '/App/cart?add=milk');
    is($cart->{instance}, $other->name, 'the other instance has taken over');
    is($cart->{items}, 'tea,milk', 'from what was stored');
    goes_on($proxy, $holder);
    my $late = $slow->read_response($opt{method} // 'GET');
    is(counters($proxy)->{fenced}, $before + 1, 'what the first one says then is fenced');
    is(leaked($late), '', 'and the client sees no word of it');
    all_serve($t, $proxy, @apps);
    return {late => $late, quick => $quick, slow => $slow, holder => $holder, other => $other};
}

sub is_refused($is, $what)
{
    is($is->{late}->status, 503, $what);
    is($is->{late}->instance, undef, 'by a page of the proxy');
    return;
}

sub a_late_get($proxy)
{
    my $is = late($proxy, '/App/cart?add=late');
    my $cart = cart_of($is->{late});
    is($cart->{instance}, $is->{other}->name, 'a late answer does not come through: the request is repeated');
    is($cart->{items}, 'tea,milk,late', 'with what there is now');
    is(cart($is->{quick}, '/App/cart')->{items}, 'tea,milk,late', 'and so it is for all');
    return;
}

sub a_late_post($proxy)
{
    my $is = late($proxy, '/App/cart?add=late', method => 'POST', body => 'x');
    is_refused($is, 'a late answer to a POST is refused');
    is(cart($is->{quick}, '/App/cart')->{items}, 'tea,milk', 'and so is its state');
    return;
}

sub a_late_page($proxy)
{
    my $is = late($proxy, '/App/cart', method => 'POST', body => 'x');
    is_refused($is, 'a late answer without a state is none either: it would show an old one');
    return;
}

sub a_late_logout($proxy)
{
    my $is = late($proxy, '/App/logout', method => 'POST', body => 'x');
    is_refused($is, 'a late logout is told to be none');
    is(cart($is->{quick}, '/App/cart')->{items}, 'tea,milk', 'and is none');
    return;
}

sub a_late_login($proxy)
{
    my $is = late($proxy, '/App/login', method => 'POST', body => 'x');
    is_refused($is, 'a late login is told to be none');
    is(cart($is->{quick}, '/App/cart')->{items}, 'tea,milk', 'and is none');
    return;
}

sub nobody_came_in_between($proxy)
{
    my ($slow, $quick, $holder) = two_clients($t, $proxy, @apps);
    $holder->answers_hold(1);
    begin_cart($slow, '/App/cart?add=late', method => 'POST', body => 'x');
    $holder->answers_wait(1);
    hang($holder);
    goes_on($proxy, $holder);
    is(end_cart($slow, method => 'POST')->{items}, 'tea,late', 'it may answer, if nobody has the session since');
    all_serve($t, $proxy, @apps);
    is(cart($quick, '/App/cart')->{items}, 'tea,late', 'and what it says counts');
    return;
}

sub it_remembers($proxy)
{
    my ($old, $new, $holder, $other) = two_clients($t, $proxy, @apps);
    my $id = $old->cookie('zsessionid') =~ s/\..*//r;
    hang($holder);
    my $cart = cart($new, '/App/cart?add=milk');
    goes_on($proxy, $holder);
    all_serve($t, $proxy, @apps);
    is($holder->zone_sessions->{$id}{items}, 'tea', 'the old instance remembers what was');
    my %common = (headers => {Cookie => "zsessionid=$id." . $holder->name});
    for my $n (1 .. 3) {
        my $by_old = cart($old, '/App/cart', %common);
        is("@$by_old{qw(instance items epoch)}", join(' ', $other->name, 'tea,milk', $cart->{epoch}),
            'a client with its cookie gets what is, where it is');
        my $by_new = cart($new, '/App/cart');
        is("@$by_new{qw(instance items epoch)}", "@$by_old{qw(instance items epoch)}", 'as one with the new cookie');
    }
    $other->kill;
    my $back = cart($old, '/App/cart', %common);
    is("@$back{qw(instance items)}", $holder->name . ' tea,milk', 'when it gets the session back, it takes the state');
    cmp_ok($back->{epoch}, '>', $cart->{epoch}, 'of a later epoch');
    $other->start;
    all_serve($t, $proxy, @apps);
    return;
}

sub stories($proxy, $lane, @)
{
    all_serve($t, $proxy, @apps);
    subtest 'a late answer to a GET' => sub { a_late_get($proxy) };
    subtest 'to a POST' => sub { a_late_post($proxy) };
    subtest 'one without a state' => sub { a_late_page($proxy) };
    subtest 'a late logout' => sub { a_late_logout($proxy) };
    subtest 'a late login' => sub { a_late_login($proxy) };
    subtest 'an instance that hung comes back first' => sub { nobody_came_in_between($proxy) };
    subtest 'an instance that hung remembers' => sub { it_remembers($proxy) };
    return;
}

my @how = (check => 'interval=100ms fall=2 rise=1 timeout=' . faster('500ms', '1s'));

each_way($t, \@apps, \&stories, @how, stores => ['shm']);
each_way($t, \@apps, \&stories, @how, stores => ['memcached'], lanes => ['On']);

$t->done;
