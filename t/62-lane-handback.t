# SPDX-License-Identifier: Apache-2.0
# Many clients whose requests are in turn the lane's and httpd's, on the same connections and in
# pipelines: every answer is the one to its request, and nothing is left of them.
use v5.36;

use Digest::SHA qw(sha256_hex);
use POSIX ();
use Socket qw(AF_UNIX SCM_RIGHTS SOCK_STREAM SOL_SOCKET pack_sockaddr_un);

use HA::Crowd;
use HA::Exchange qw(exchange echo upload bytes step);
use HA::Mount qw(balancer children faster);
use HA::Test;

use constant {CLIENTS => 100, STEPS => faster(40, 10), A_CONNECTION => 5, FILES => 50, STUBS => 20};
# The number of the system call, where it is known.
use constant SENDMSG => {x86_64 => 46, aarch64 => 211}->{(POSIX::uname())[4]} // 0;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $own = $t->port;

# The same mount twice: the lane's, and beside it one that it does not take.
my $proxy = $t->httpd(
    mpm => 'event',
    modules => [qw(proxy proxy_http alias status)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    # A child of httpd ends idle connections when all of its threads are busy: each has one for every
    # client.
    mpm_config => children(2, 128),
    config => join '', <<~"CONFIG", balancer('App', [$a, $b]), <<~"CONFIG",
        ServerName app.example
        HALane Require
        HAListen 127.0.0.1:$own
        MaxKeepAliveRequests 0
        KeepAliveTimeout 30
        Redirect "/moved" "http://elsewhere.example/new"
        <Location "/server-status">
            SetHandler server-status
        </Location>
        CONFIG
        <VirtualHost *>
            ServerName app.example
            ProxyPass "/App" "balancer://App/App"
        </VirtualHost>
        <VirtualHost *>
            ServerName off.example
            HALane Off
            ProxyPass "/App" "balancer://App/App"
        </VirtualHost>
        CONFIG
);
my @ports = ($proxy->port, $own);
$t->write_file($proxy->root . "/htdocs/$_.txt", "file $_\n" x (1 + $_ * 20)) for 0 .. FILES - 1;

# --- requests, each with an answer that is only its own -------------------------------------------

my @app = (host => 'app.example');

sub file($tag)
{
    my $n = draw(FILES, $tag);
    my $right = "file $n\n" x (1 + $n * 20);
    my $is_right = sub ($answer) { $answer->status == 200 && $answer->body eq $right };
    return exchange(GET => "/$n.txt", $is_right, @app);
}

sub redirect($tag)
{
    my $is_right = sub ($answer) { ($answer->header('Location') // '') eq "http://elsewhere.example/new/$tag" };
    return exchange(GET => "/moved/$tag", $is_right, @app);
}

my @lanes = (
    sub ($tag) { echo($tag, @app) },
    sub ($tag) { upload($tag, @app) },
    sub ($tag) { bytes(1 + draw(60_000, $tag)) },
);
my @httpds = (
    sub ($tag) { file($tag) },
    sub ($tag) { redirect($tag) },
    sub ($tag) { echo($tag, host => 'off.example') },
    sub ($tag) { upload($tag, host => 'off.example') },
    sub ($tag) { echo($tag, path => '/App/%65cho', @app) },
);

# A number that follows from the words.
sub draw($below, @words)
{
    return hex(substr sha256_hex("@words"), 0, 7) % $below;
}

# One to four requests at once. Connections begin in the lane, and most are httpd's at some time.
sub next_step($client, $n)
{
    return undef if $n == STEPS;
    my $count = 1 + draw(4, 'count', $client, $n);
    my $begins = $n % A_CONNECTION == 0;
    my @exchanges;
    for my $i (1 .. $count) {
        my $tag = "c$client-$n-$i";
        my $kinds = $begins || draw(3, 'kind', $tag) ? \@lanes : \@httpds;
        push @exchanges, $kinds->[draw(scalar @$kinds, 'which', $tag)]->($tag);
    }
    return step(
        \@exchanges,
        pieces => 1 + draw(3, 'pieces', $client, $n),
        leave => $n % A_CONNECTION == A_CONNECTION - 1,
        pause => 0.001 * draw(20, 'pause', $client, $n),
    );
}

# --- what is left ---------------------------------------------------------------------------------

sub descriptors
{
    my @fds = map {glob "/proc/$_/fd/*"} $proxy->children;
    return scalar @fds;
}

# What the children's threads do, but for the one that tells.
sub busy_threads
{
    my $client = $t->client(cookies => 0, host => 'app.example', keep_alive => 0);
    my $status = $client->get('/server-status?auto')->body;
    my ($board) = $status =~ /^Scoreboard: (\S+)$/m or return 'no scoreboard';
    return $board =~ s/[_.]//gr;
}

subtest 'a hundred clients get the answers to their requests' => sub {
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my $before = descriptors();
    ok($t->wait_for(sub { busy_threads() eq 'W' }, 15, 'free threads'), 'only who tells it is busy');
    my $crowd = HA::Crowd->new(
        $t,
        clients => CLIENTS,
        port => sub ($client) { $ports[$client % 2] },
        step => \&next_step,
        timeout => 40,
    );
    my $result = $crowd->wait(120);
    is($result->{failed}, 0, "none of $result->{steps} steps failed") or diag explain $result;
    is($result->{steps}, CLIENTS * STEPS, 'all of them were made');
    cmp_ok($result->{connections}, '<=', CLIENTS * STEPS / A_CONNECTION, 'no connection was ended by the server');
    my $given = $proxy->log->count(qr/given back by the lane: \d+ bytes, status 0/);
    cmp_ok($given, '>=', 0.5 * $result->{connections}, 'most connections were given back');
    note("$result->{answers} answers, $result->{connections} connections, $given given back");

    my $most = sub { $before + $a->count->{open} + $b->count->{open} + 10 };
    $t->wait_for(sub { descriptors() <= $most->() }, 15, 'descriptors to be closed');
    cmp_ok(descriptors(), '<=', $most->(), 'descriptors are closed');
    ok($t->wait_for(sub { busy_threads() eq 'W' }, 15, 'free threads'), 'threads are free');
    my @children = $proxy->children;
    is(scalar @children, 2, 'and there are the children that there were');
};

# --- what is no letter ----------------------------------------------------------------------------

# A message with a descriptor, to the Unix-domain socket at `path`.
sub pass_descriptor($path, $bytes, $fd)
{
    socket(my $to, AF_UNIX, SOCK_STREAM, 0) or return 0;
    connect($to, pack_sockaddr_un($path)) or return 0;
    my $rights = pack 'Q i i i x4', 20, SOL_SOCKET, SCM_RIGHTS, $fd;
    my $piece = pack 'P Q', $bytes, length $bytes;
    my $message = pack 'Q L x4 P Q P Q i x4', 0, 0, $piece, 1, $rights, length $rights, 0;
    return syscall(SENDMSG, fileno $to, $message, 0) == length $bytes;
}

# The beginning of a letter, from somebody who may send letters.
sub send_stub
{
    my ($user) = $proxy->identity;
    my ($path) = glob $proxy->root . '/run/haproxy.*.sock';
    my $code = sub {
        $> = $< = getpwnam $user if $user;
        pass_descriptor($path, 'abc', 0) or die "no message could be sent: $!\n";
    };
    return $t->wait_end($t->spawn('stub' . ++$t->{stubs}, code => $code)) == 0;
}

if (SENDMSG) {
    subtest 'a letter that is cut short leaves no descriptor' => sub {
        my $vain = sub { $proxy->log->count(qr/a connection was given back in vain/) };
        my ($lines, $before) = ($vain->(), descriptors());
        is(scalar(grep {send_stub()} 1 .. STUBS), STUBS, 'sent');
        ok($t->wait_for(sub { $vain->() == $lines + STUBS }), 'each is refused');
        ok($t->wait_for(sub { descriptors() < $before + STUBS / 2 }, 5, 'descriptors to be closed'), 'and closed');
    };
}

$t->done;
