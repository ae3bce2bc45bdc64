# SPDX-License-Identifier: Apache-2.0
# Strangers at the port of the daemons, a hundred thousand of them: who does not know the secret
# costs neither the lead nor memory nor the disk, and bytes that were heard once open nothing.
use v5.36;

use Errno qw(EAGAIN EINPROGRESS EINTR);
use HA::Test;
use HA::Zerod;
use IO::Poll qw(POLLIN POLLOUT POLLERR POLLHUP);
use IO::Socket::INET;
use Socket qw(inet_aton pack_sockaddr_in SOL_SOCKET SO_LINGER IPPROTO_TCP PF_INET SOCK_STREAM);
use Time::HiRes qw(time);

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {STRANGERS => 100_000, AT_ONCE => 200, CROWDS => 2, MORE_KB => 8 << 10, LOG_BYTES => 8 << 10, SECONDS => 120};

my $t = HA::Test->new(lean => 1);
my @all = HA::Zerod->cluster($t, 'three');
my $leader = HA::Zerod::leader_of(@all);
my %port = map {$_->{id} => ($_->config_of->{nodes}{$_->{id}} =~ /:(\d+)$/)} @all;

sub rss_kb($zerod) { return HA::Zerod::slurp('/proc/' . $zerod->pid . '/status') =~ /^VmRSS:\s+(\d+)/m ? $1 : 0 }
# How much it has said of those that it has refused.
sub refusals($zerod) { return length join '', $zerod->said =~ /^.* refused, the last one: .*$/mg }
sub fds($zerod)    { return scalar(my @all = glob '/proc/' . $zerod->pid . '/fd/*') }

# The first bytes of a TLS 1.3 client that knows no secret, as they come from a real one.
sub hello($port)
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!\n";
    my $pid = $t->spawn('hello', cmd => ['openssl', 's_client', '-tls1_3', '-connect', '127.0.0.1:' . $listener->sockport]);
    $t->may_fail($pid);
    my $client = $listener->accept;
    sysread $client, my $bytes, 4096;
    close $client;
    $t->wait_end($pid);
    return $bytes;
}

# Many strangers at once, in a process of its own: each connects, says its piece, and goes, at once
# (with a reset, which leaves no port behind), or when it has been hung up on.
sub strangers($port, $count, $at_once, @pieces)
{
    my $to = pack_sockaddr_in($port, inet_aton('127.0.0.1'));
    my (%open, $begun);
    my $poll = IO::Poll->new;
    $begun = 0;
    while ($begun < $count || %open) {
        while ($begun < $count && keys %open < $at_once) {
            socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
            $socket->blocking(0);
            setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0);
            connect($socket, $to) or $!{EINPROGRESS} or die "connect: $!\n";
            $open{fileno $socket} = {socket => $socket, n => $begun++};
            $poll->mask($socket => POLLOUT);
        }
        $poll->poll(1) or next;
        for my $socket ($poll->handles(POLLIN | POLLOUT | POLLERR | POLLHUP)) {
            my $one = $open{fileno $socket};
            my $piece = $pieces[$one->{n} % @pieces];
            my $goes = $one->{said}++ || !defined syswrite($socket, $piece) || $one->{n} % 3 == 0;
            $poll->mask($socket => $goes ? 0 : POLLIN);
            next if !$goes;
            delete $open{fileno $socket};
            close $socket;
        }
    }
    return;
}

subtest 'a hundred thousand strangers' => sub {
    my $hello = hello($port{0});
    my @pieces = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", join('', map {chr(($_ * 197 + 13) % 256)} 1 .. 600), substr($hello, 0, 100), $hello, '', "zerod 1 raft 1 127.0.0.1:1\n");
    my ($term, $primary) = ($leader->status->{term}, $leader->{id});
    # What is kept to be used again is there after the first of them.
    strangers($port{$leader->{id}}, STRANGERS / 4, AT_ONCE, @pieces);
    my %before = map {$_->{id} => {rss => rss_kb($_), fds => fds($_), log => refusals($_)}} @all;
    my $begun = time;
    my @pids = map {my $port = $port{$leader->{id}}; $t->spawn("strangers$_", code => sub { strangers($port, STRANGERS * 3 / 4 / CROWDS, AT_ONCE / CROWDS, @pieces) })} 1 .. CROWDS;
    my ($orders, $slowest, @bad) = (0, 0);
    while (grep {!defined $t->ended($_)} @pids) {
        die "the strangers take too long\n" if time - $begun > SECONDS;
        my $asked = time;
        my $answer = $leader->order('app-set', app => 'App', single => $orders++ % 2 ? \1 : \0) // 'none';
        push @bad, $answer if $answer !~ /^(?:done|unchanged|refused)/;
        $slowest = time - $asked if time - $asked > $slowest;
    }
    my $seconds = time - $begun;
    is(join(' ', map {$t->ended($_)} @pids), join(' ', (0) x CROWDS), sprintf 'all of them were there, in %.0f s', $seconds);
    is("@bad", '', "$orders commands went on");
    cmp_ok($slowest, '<', 3, sprintf 'the slowest took %.0f ms', $slowest * 1000);
    is($leader->status->{term}, $term, 'the term is the same');
    ok($leader->status->{leads}, 'so is who leads');
    for my $zerod (@all) {
        my $was = $before{$zerod->{id}};
        $t->wait_for(sub { fds($zerod) <= $was->{fds} + 2 }, 15, "the descriptors of $zerod->{id}");
        pass("$zerod->{id} has no more descriptors than before");
        cmp_ok(rss_kb($zerod), '<', $was->{rss} + MORE_KB, "$zerod->{id} has " . (rss_kb($zerod) - $was->{rss}) . ' KB more');
        cmp_ok(refusals($zerod) - $was->{log}, '<', LOG_BYTES, "$zerod->{id} said little of them");
    }
    like($leader->said, qr/\d\d+ connections refused, the last one: /, 'but it did say so');
};

subtest 'strangers that stay hold nobody up' => sub {
    my @stay = map {IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{$leader->{id}}) // die "connect: $!\n"} 1 .. 500;
    my ($other) = grep {$_ != $leader} @all;
    $other->kill;
    $other->launch;
    $t->wait_for(sub { defined(($other->status // {})->{leader}) }, 15, 'one that comes back');
    pass('one that comes back gets through');
    like($other->order('app-set', app => 'Through', single => \0), qr/^done/, 'and so do its commands');
    close $_ for @stay;
};

# Takes down what goes to a port, and passes it on.
sub record($from, $to, $file)
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $from, Listen => 64, ReuseAddr => 1) or die "$from: $!\n";
    my $count = 0;
    while (my $client = $listener->accept) {
        my $number = $count++;
        next if fork;
        my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to) or POSIX::_exit(0);
        open(my $out, '>:raw', "$file.$number") or POSIX::_exit(1);
        $out->autoflush(1);
        my $poll = IO::Poll->new;
        $poll->mask($_ => POLLIN) for $client, $server;
        while ($poll->poll > 0) {
            for my $socket ($poll->handles(POLLIN | POLLHUP | POLLERR)) {
                sysread($socket, my $bytes, 65_536) or POSIX::_exit(0);
                print $out $bytes if $socket == $client;
                syswrite $socket == $client ? $server : $client, $bytes;
            }
        }
    }
    return;
}

subtest 'what a good connection has said opens nothing when it is said again' => sub {
    my $relay = $t->port;
    my $file = $t->dir('heard');
    # Another cluster, as the nodes of which have to be told of the way through us.
    my @two = HA::Zerod->cluster($t, 'heard', n => 3, start => 0);
    my ($bound) = $two[0]->config_of->{nodes}{0} =~ /:(\d+)$/;
    local $SIG{CHLD} = 'DEFAULT';
    my $pid = $t->spawn('relay', code => sub { $SIG{CHLD} = 'IGNORE'; record($relay, $bound, $file) });
    $_->reconfigure(sub($config) { $config->{nodes}{0} = {address => "127.0.0.1:$relay", bind => "127.0.0.1:$bound"} }) for @two;
    $_->launch for @two;
    my $first = HA::Zerod::leader_of(@two);
    ok($first, 'nodes talk through a relay, which advertises another address than is bound');
    like($first->order('app-set', app => 'App', single => \0), qr/^done/, 'and take commands');
    $t->wait_for(sub { !grep {1 != grep {defined $_->{active}} @{$_->map->{apps}}} @two }, 15, 'one active');
    $t->wait_for(sub { (my @heard = grep {-s $_ > 300} glob "$file.*") >= 2 }, 15, 'what was said');
    $t->wait_for(sub { 2 == @{$two[0]->map->{apps}} }, 15, 'the map');
    my $apps = $two[0]->map->{apps};
    my ($term, $before) = ($first->status->{term}, fds($two[0]));
    my $said = length $two[0]->said;
    my $answered = 0;
    for my $path (grep {-s $_ > 300} glob "$file.*") {
        my $bytes = HA::Zerod::slurp($path);
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $bound) or die "$bound: $!\n";
        syswrite $socket, $bytes;
        my $got = '';
        while (sysread $socket, my $more, 65_536) {
            $got .= $more;
        }
        $answered++;
        cmp_ok(length $got, '<', 1000, 'it is hung up on after its hello');
    }
    cmp_ok($answered, '>=', 2, "$answered connections were said again");
    $t->wait_for(sub { substr($two[0]->said, $said) =~ /refused, the last one: / }, 15, 'the log to say so');
    is($first->status->{term}, $term, 'the term is the same');
    is_deeply($two[0]->map->{apps}, $apps, 'so is what the map says');
    $_->stop for @two;
    my $list = HA::Test::process_list();
    CORE::kill 'TERM', grep {$list->{$_}{session} == $pid && $_ != $pid} keys %$list;
};

$_->stop for @all;
$t->done;
