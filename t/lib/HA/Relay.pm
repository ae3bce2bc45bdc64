# SPDX-License-Identifier: Apache-2.0
# Owns what is between the daemons of a cluster: each is reached through a port of the relay, which
# passes bytes on late, in their order, keeps those of a link that stalls until it is healed, or ends
# the connections of one that is cut off. One process; whose connection it is it knows by whose socket
# it is. Does not start daemons, and loses nothing on a connection that lives: for links that do see
# HA::Hosts.
package HA::Relay;
use v5.36;

use Errno qw(EAGAIN EINPROGRESS EINTR);
use IO::Poll qw(POLLIN);
use IO::Socket::INET;
use Socket qw(inet_aton pack_sockaddr_in PF_INET SOCK_STREAM);
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);

use HA::Zerod;

use constant {TURN_SECONDS => 0.005, PIECE_BYTES => 65_536, QUEUE_BYTES => 4 << 20, READY_SECONDS => 10, LIST_SECONDS => 0.5};
# Of /proc/net/tcp: how long a line is, and the field with the inode, from the colon on.
use constant {TCP_LINE => 150, TCP_INODE => 9};

# Puts itself between these, which do not run yet. Options: delay_ms => what each byte takes each way;
# jitter_ms => up to which it takes more.
sub new($class, $t, $zerods, %opt)
{
    my $self = bless {t => $t, zerods => $zerods, rules => $t->dir('relay.rules'), ready => $t->dir('relay.ready'), delay => ($opt{delay_ms} // 0) / 1000, jitter => ($opt{jitter_ms} // 0) / 1000, ways => [], stalled => {}, cut => {}, list_until => 0}, $class;
    my $nodes = $zerods->[0]->config_of->{nodes};
    for my $id (sort keys %$nodes) {
        my $port = $t->port;
        my %node = ref $nodes->{$id} ? %{$nodes->{$id}} : (address => $nodes->{$id});
        my ($to) = $node{address} =~ /:([0-9]+)\z/ or die "node $id: no port in its address\n";
        push @{$self->{listens}}, {id => $id, port => $port, to => $to};
        $nodes->{$id} = {%node, address => "127.0.0.1:$port", bind => "127.0.0.1:$to"};
    }
    $_->reconfigure(sub($config) { $config->{nodes} = $nodes }) for @$zerods;
    $self->heal;
    $t->spawn('relay', code => sub { $self->_run });
    $t->wait_for(sub { -e $self->{ready} }, READY_SECONDS, 'the relay');
    return $self;
}

# Nothing passes between these two, in both ways, until heal().
sub stall($self, $one, $other) { return $self->_rule('stall', $one, $other) }

# This one hears nobody, and is heard by nobody, until heal(): its connections end, and new ones at once.
sub cut($self, $id) { return $self->_rule('cut', $id) }

sub heal($self) { return $self->_rule }

# A rule, and which process each daemon is now.
sub _rule($self, @rule)
{
    return $self->{t}->write_file($self->{rules}, join('', "@rule\n", map {"$_->{id} $_->{pid}\n"} grep {$_->{pid}} @{$self->{zerods}}));
}

sub _now() { return clock_gettime(CLOCK_MONOTONIC) }

sub _run($self)
{
    local $SIG{PIPE} = 'IGNORE';
    my $poll = $self->{poll} = IO::Poll->new;
    for my $listen (@{$self->{listens}}) {
        my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $listen->{port}, Listen => 128, ReuseAddr => 1, Blocking => 0) or die "$listen->{port}: $!\n";
        $listen->{socket} = $socket;
        $poll->mask($socket => POLLIN);
    }
    $self->{t}->write_file($self->{ready}, '');
    while (1) {
        $poll->poll(TURN_SECONDS);
        $self->_read_rules;
        $self->_accept($_) for grep {$poll->events($_->{socket})} @{$self->{listens}};
        $self->_turn($_) for @{$self->{ways}};
        @{$self->{ways}} = grep {!$_->{over}} @{$self->{ways}};
    }
    return;
}

sub _read_rules($self)
{
    my ($rule, @pids) = split /\n/, HA::Zerod::slurp($self->{rules});
    my ($what, @ids) = split / /, $rule // '';
    $self->{pids} = {map {split / /} @pids};
    $self->{stalled} = {($what // '') eq 'stall' ? ("@ids" => 1, "@{[reverse @ids]}" => 1) : ()};
    $self->{cut} = {($what // '') eq 'cut' ? map {$_ => 1} @ids : ()};
    return;
}

# The id of the daemon whose socket this connection comes from, by the number of that. The list of all
# connections is long on a busy machine: it is read only when there is a rule, and not all the time. Undef
# for one that is younger than it.
sub _caller($self, $way)
{
    return $way->{caller} if defined $way->{caller};
    if (_now() > $self->{list_until}) {
        $self->{list_at} = _now();
        $self->{list} = HA::Zerod::slurp('/proc/net/tcp');
        $self->{list_until} = _now() + LIST_SECONDS;
    }
    return undef if $way->{at} > $self->{list_at};
    my $at = index $self->{list}, sprintf ': 0100007F:%04X 0100007F:%04X ', $way->{from}, $way->{listen}{port};
    my $link = 'socket:[' . ($at < 0 ? '' : (split ' ', substr $self->{list}, $at, TCP_LINE)[TCP_INODE]) . ']';
    my $pids = $self->{pids};
    my ($id) = grep {grep {(readlink // '') eq $link} glob "/proc/$pids->{$_}/fd/*"} keys %$pids;
    return $way->{caller} = $id // '';
}

# A connection is two sides; what is read from one waits in its queue to be written to the other.
sub _accept($self, $listen)
{
    while (my $client = $listen->{socket}->accept) {
        $client->blocking(0);
        my $way = {from => $client->peerport // 0, listen => $listen, at => _now(), due => _now() + $self->_takes};
        $way->{sides} = [{socket => $client, queue => [], bytes => 0}, {queue => [], bytes => 0}];
        push @{$self->{ways}}, $way;
    }
    return;
}

sub _takes($self) { return $self->{delay} + $self->{jitter} * rand }

sub _turn($self, $way)
{
    my ($client, $server) = @{$way->{sides}};
    if (%{$self->{cut}} || %{$self->{stalled}}) {
        my $to = $way->{listen}{id};
        return $self->_end($way) if $self->{cut}{$to};
        my $caller = $self->_caller($way) // return;
        return $self->_end($way) if $self->{cut}{$caller};
        return $self->_rest($way) if $self->{stalled}{"$caller $to"};
    }
    if (!$server->{socket}) {
        return if $way->{due} > _now();
        socket($server->{socket}, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
        IO::Handle::blocking($server->{socket}, 0);
        connect($server->{socket}, pack_sockaddr_in($way->{listen}{to}, inet_aton('127.0.0.1'))) or $!{EINPROGRESS} or return $self->_end($way);
    }
    $self->_read($way, $_) for $client, $server;
    $self->_write($way, $client, $server);
    $self->_write($way, $server, $client);
    return if $way->{over};
    $self->{poll}->mask($_->{socket} => $_->{eof} || $_->{bytes} > QUEUE_BYTES ? 0 : POLLIN) for $client, $server;
    return;
}

# What nobody reads now wakes nobody.
sub _rest($self, $way)
{
    $self->{poll}->remove($_) for grep {$_} map {$_->{socket}} @{$way->{sides}};
    return;
}

sub _read($self, $way, $side)
{
    while (!$side->{eof} && $side->{bytes} <= QUEUE_BYTES) {
        my $n = sysread $side->{socket}, my $bytes, PIECE_BYTES;
        return if !defined $n && ($!{EAGAIN} || $!{EINTR} || $!{ENOTCONN});
        $side->{eof} = !$n;
        my $due = _now() + $self->_takes;
        my $last = @{$side->{queue}} ? $side->{queue}[-1]{due} : 0;
        push @{$side->{queue}}, {due => $due > $last ? $due : $last, bytes => $n ? $bytes : undef};
        $side->{bytes} += $n // 0;
    }
    return;
}

# The end of one side ends both, when all before it has been passed on.
sub _write($self, $way, $from, $to)
{
    my $now = _now();
    while (!$way->{over} && @{$from->{queue}} && $from->{queue}[0]{due} <= $now) {
        my $piece = $from->{queue}[0];
        return $self->_end($way) if !defined $piece->{bytes};
        my $n = syswrite $to->{socket}, $piece->{bytes};
        return if !defined $n && ($!{EAGAIN} || $!{EINTR} || $!{ENOTCONN});
        return $self->_end($way) if !defined $n;
        $from->{bytes} -= $n;
        substr $piece->{bytes}, 0, $n, '';
        shift @{$from->{queue}} if $piece->{bytes} eq '';
    }
    return;
}

sub _end($self, $way)
{
    $way->{over} = 1;
    for my $socket (grep {$_} map {$_->{socket}} @{$way->{sides}}) {
        $self->{poll}->remove($socket);
        close $socket;
    }
    return;
}

1;
