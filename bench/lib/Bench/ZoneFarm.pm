# SPDX-License-Identifier: Apache-2.0
# Owns what bench/zones measures on: two instances and a spare one, two memcached, proxies with a zone
# and without, and their sessions. Does not measure.
package Bench::ZoneFarm;
use v5.36;

use HA::Client;
use HA::Memcached;

use Bench::Backend;
use Bench::Contender::Zone;

use constant NODES => 2;

# Starts all of it. Options: names => [of proxies]; sessions => how many each of them gets; bytes => of
# their state.
sub start($class, $t, %opt)
{
    my $self = bless {t => $t, number => ++$t->{farms}, %opt}, $class;
    $self->{instances} = Bench::Backend->start($t, 2);
    $self->{spare} = Bench::Backend->start($t, 1, 3);
    $self->{nodes} = [map { HA::Memcached->new($t, "memcached-$self->{number}-$_") } 1 .. NODES];
    $self->_start_proxy($_) for @{$self->{names}};
    return $self;
}

sub _start_proxy($self, $name)
{
    my @backends = @$self{qw(instances spare)};
    my $proxy = Bench::Contender::Zone->new(
        $self->{t}, $name,
        members => [map {@{$_->ports}} @backends],
        routes => [map {@{$_->routes}} @backends],
        nodes => $self->{nodes},
    );
    $self->{proxies}{$name} = $proxy->start;
    my $client = HA::Client->new(port => $proxy->port, cookies => 0);
    $self->{cookies}{$name} = [map { $self->_begin_session($client) } 1 .. $self->{sessions}];
    # What it knows of a session it tells from the second request on.
    ask($proxy, $_, '/told') for @{$self->{cookies}{$name}};
    return;
}

# The Cookie field of a new session.
sub _begin_session($self, $client)
{
    my $answer = $client->get("/begin/$self->{bytes}");
    my ($cookie) = ($answer->header('Set-Cookie') // '') =~ /^(zsessionid=\w+\.m00[12])/;
    die 'no session was begun: ' . $answer->status . ' ' . ($answer->error // $answer->body) . "\n"
        if !$cookie;
    return $cookie;
}

# What the instance says to a request of a session: (instance, word, numbers).
sub ask($proxy, $cookie, $path)
{
    state %clients;
    my $client = $clients{$proxy->port} //= HA::Client->new(port => $proxy->port, cookies => 0);
    my $answer = $client->get($path, headers => {Cookie => $cookie});
    return $answer->status == 200 ? split ' ', $answer->body : ();
}

sub proxy($self, $name)   { return $self->{proxies}{$name} }
sub cookies($self, $name) { return @{$self->{cookies}{$name}} }
sub nodes($self)          { return @{$self->{nodes}} }

# The instances that have all sessions are gone: the spare one is left.
sub kill_instances($self)
{
    $self->{instances}->kill;
    return;
}

# A file with a request of each session of a proxy, for bench/load.
sub requests($self, $name, $path)
{
    my $file = "farm-$self->{number}-$name" . $path =~ tr{/}{-}r;
    return $self->{t}->dir($file) if -e $self->{t}->dir($file);
    my @requests = map {"GET $path HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nCookie: $_\r\n\r\n"}
        $self->cookies($name);
    return $self->{t}->write_file($file, join '', map {length($_) . "\n$_"} @requests);
}

sub stop($self)
{
    $_->stop for values %{$self->{proxies}};
    $_->kill for grep {$_->running} $self->nodes;
    for my $backend (@$self{qw(instances spare)}) {
        $backend->stop if !defined $self->{t}->ended($backend->{pid});
    }
    return;
}

1;
