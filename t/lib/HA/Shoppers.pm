# SPDX-License-Identifier: Apache-2.0
# Owns many sessions with a cart each: filling the carts under load, and looking at all of them
# afterwards. Does not know where they are kept.
package HA::Shoppers;
use v5.36;

use Storable qw(retrieve store);

use HA::Client;
use HA::Crowd;

# Starts a load. Options: port, or ports => [...] that take turns; clients => how many at once; sessions => of each of them; rounds =>
# how often each session puts something into its cart, unless `finish` comes before; method;
# twice => 1 if a request may have been served twice, as its instance was lost. Each answer has to
# show all that was put in before.
sub new($class, $t, %opt)
{
    my %full = (clients => 20, sessions => 5, rounds => 2, method => 'GET', %opt);
    my $self = bless {t => $t, file => $t->dir('shoppers' . ++$t->{shoppers}), %full}, $class;
    my @carts;
    my @ports = @{$full{ports} // [$full{port}]};
    $self->{port} //= $ports[0];
    $self->{crowd} = HA::Crowd->new(
        $t,
        clients => $full{clients},
        port => sub ($client) { push @ports, shift @ports; $ports[0] },
        renew => 1,
        step => sub ($client, $n) {
            my $round = -e "$self->{file}.finish" ? $full{rounds} : int($n / $full{sessions});
            my $cart = $carts[$client][$n % $full{sessions}] //= {items => ''};
            return $self->_step($cart, "i$round") if $round < $full{rounds};
            store($carts[$client], "$self->{file}.$client");
            return undef;
        }
    );
    return $self;
}

sub _request($cart, $method, $query)
{
    my $cookie = $cart->{cookie} ? "Cookie: zsessionid=$cart->{cookie}\r\n" : '';
    return "$method /App/cart$query HTTP/1.1\r\nHost: localhost\r\n$cookie\r\n";
}

# What an answer shows of a cart: (session, items); nothing when it shows none.
sub _shown($answer)
{
    return $answer->status == 200 ? $answer->body =~ / items=(\S*) session=(\S+)/ : ();
}

sub _keep_cookie($cart, $answer)
{
    my ($cookie) = ($answer->header('Set-Cookie') // '') =~ /^zsessionid=([^;]*)/;
    $cart->{cookie} = $cookie // $cart->{cookie};
    return;
}

sub _step($self, $cart, $item)
{
    my $check = sub ($answer) {
        my ($items, $session) = _shown($answer) or return 'status ' . $answer->status;
        my $want = join ',', grep {length} $cart->{items}, $item;
        my $good = $items eq $want || ($self->{twice} && $items eq "$want,$item");
        return "cart $items, not $want" if !$good;
        @$cart{qw(items session)} = ($items, $session);
        _keep_cookie($cart, $answer);
        return undef;
    };
    return {
        bytes => _request($cart, $self->{method}, "?add=$item"),
        answers => [[$self->{method}, $check]],
        leave => !!$self->{ports},
    };
}

# Waits for so many more answers. Dies when the load has ended before.
sub wait_more($self, $count)
{
    $self->{crowd}->wait_more($count);
    die "the load has ended too early\n" if defined $self->{t}->ended($self->{crowd}{pid});
    return;
}

# Puts in no more.
sub finish($self)
{
    $self->{t}->write_file("$self->{file}.finish", '');
    return $self->wait;
}

# Waits for the end of the load: what HA::Crowd says of it.
sub wait($self)
{
    my $result = $self->{crowd}->wait;
    $self->{carts} = [map {@{retrieve("$self->{file}.$_")}} 0 .. $self->{clients} - 1];
    return $result;
}

# Looks at all carts, one after the other: how many were `kept`, how many sessions had to begin
# `anew` with an empty cart, and what was neither, as "kept:98 anew:2". Options: port; add => a name
# to put in; only => numbers of carts.
sub look($self, %opt)
{
    my $client = HA::Client->new(port => $opt{port} // $self->{port}, cookies => 0);
    my %found;
    for my $cart (@{$self->{carts}}[@{$opt{only} // [0 .. $#{$self->{carts}}]}]) {
        my $query = defined $opt{add} ? "?add=$opt{add}" : '';
        $client->send(_request($cart, 'GET', $query));
        my $answer = $client->read_response('GET');
        $client->close if !$answer->keeps_open;
        $found{$self->_compare($cart, $answer, $opt{add} // '')}++;
        _keep_cookie($cart, $answer);
    }
    return join ' ', map {"$_:$found{$_}"} reverse sort keys %found;
}

sub _compare($self, $cart, $answer, $added)
{
    my ($items, $session) = _shown($answer) or return 'status' . $answer->status;
    my $want = join ',', grep {length} $cart->{items}, $added;
    my $same = $session eq $cart->{session};
    my $anew = !$same && $items eq $added;
    my $what = $same && $items eq $want ? 'kept' : $anew ? 'anew' : "($items, not $want)";
    @$cart{qw(items session)} = ($items, $session);
    return $what;
}

# Numbers of the carts that are at this instance, in the order in which each client began them.
sub at($self, $name)
{
    return grep {$self->{carts}[$_]{cookie} =~ /\.$name$/} 0 .. $#{$self->{carts}};
}

# How many there are.
sub count($self)
{
    return $self->{clients} * $self->{sessions};
}

1;
