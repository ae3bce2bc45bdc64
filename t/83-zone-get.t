# SPDX-License-Identifier: Apache-2.0
# zero zone status and zero zone get: what they say of real stores, that a real proxy has written to,
# and of those that are lost, hang, have changed or lie.
use v5.36;

use IO::Socket::INET;
use JSON::PP qw(decode_json);
use MIME::Base64 qw(decode_base64);
use POSIX ();

use HA::Memcached;
use HA::Test;
use HA::Zero;
use HA::Zone qw(cart zone_httpd zone_key);

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_", zones => 1)} qw(A B);
my @nodes = map {HA::Memcached->new($t, "memcached$_")} 1 .. 3;
my %node = map {$_->address => $_} @nodes;
my $proxy = zone_httpd($t, [$a, $b], nodes => \@nodes, zone => 'budget=1s');
my $client = $t->client(port => $proxy->port);
my $session = cart($client, '/App/cart?add=tea');
is($session->{items}, 'tea', 'a session with a state');

# Runs zero zone; its exit code, what it said, and what on stderr.
sub zone(@argv)
{
    return zero('zone', @argv);
}

# What get says of the session: the exit code, and a record for each node.
sub copies(@more)
{
    my ($code, $out, $err) = zone('get', '-json', '-conf=' . $proxy->conf, '-app=App', "-sid=$session->{session}", @more);
    my $said = $out ? decode_json($out) : {nodes => [], err => $err};
    return ($code, $said, {map {$_->{node} => $_} @{$said->{nodes}}});
}

# The addresses of those that have the record.
sub holders
{
    my (undef, undef, $copy) = copies();
    my @have = grep {$copy->{$_}{found}} sort keys %$copy;
    return @have;
}

# Two copies may be written one after the other.
$t->wait_for(sub { holders() == 2 }, 15, 'two copies');
my ($first, $second) = holders();
my ($third) = grep {$_ ne $first && $_ ne $second} sort keys %node;

subtest 'get shows the record as each node has it' => sub {
    my ($code, $said, $copy) = copies();
    is($code, 0, 'it is there');
    is($said->{app} . ' ' . $said->{zone}, 'App USER', 'of this application and zone');
    ok(defined $node{$first}->get($said->{name}), 'under the name that it has in memcached');
    for my $node ($first, $second) {
        my $is = $copy->{$node};
        is(join(' ', @$is{qw(epoch version owner)}), "1 $session->{version} $session->{instance}", "$node: its epoch, version and owner");
        ok($is->{newest} && !$is->{tombstone} && $is->{own}, 'the newest, and no tombstone, where it belongs');
        ok($is->{age_s} < 60 && $is->{ttl_s} > 60 && $is->{bytes} > 3, 'its age, its time, its size');
    }
    ok($copy->{$third}{up} && !$copy->{$third}{found} && !$copy->{$third}{own}, 'and nothing where it does not belong');
    my (undef, $text) = zone('get', '-conf=' . $proxy->conf, '-app=app', "-sid=$session->{session}");
    like($text, qr/^\S+:\d+: App: USER \Q$said->{name}\E\n(?:    \S+: epoch 1, version \d+, owner host[AB], stored \d+ s ago for \d+ s, \d+ bytes, key [0-9a-f]{16}\n){2}\z/,
        'and as text');
    unlike($text, qr/tea|\Q$session->{session}\E/, 'which has neither the state nor the id');
};

subtest 'nodes are told in the order of the configuration' => sub {
    my @configured = map {$_->address} @nodes;
    my $order = sub (@argv) {
        my (undef, $out) = zone('get', '-json', '-conf=' . $proxy->conf, '-app=App', @argv);
        return join ' ', map {$_->{node}} @{decode_json($out)->{nodes}};
    };
    is($order->("-sid=id$_"), "@configured", "id$_") for 1 .. 8;
    my (undef, $text) = zone('get', '-conf=' . $proxy->conf, '-app=App', "-sid=$session->{session}");
    my @told = $text =~ /^    (\S+): epoch/mg;
    my @own = grep {$_ eq $first || $_ eq $second} @configured;
    is("@told", "@own", 'and as text');
};

subtest 'the state is shown to who asks for it' => sub {
    my ($code, $said) = copies('-show-values');
    like(decode_base64($said->{value_base64}), qr/tea/, 'in JSON in base64');
    my (undef, $without) = copies();
    ok(!exists $without->{value_base64}, 'not unless asked');
    my (undef, $text) = zone('get', '-show-values', '-conf=' . $proxy->conf, '-app=App', "-sid=$session->{session}");
    like($text, qr/^    value: .*tea.*\n\z/m, 'as text, fit for a terminal');
};

subtest 'the id may come from standard input' => sub {
    my @argv = (zero_bin(), qw(zone get -app=App -sid=-), '-conf=' . $proxy->conf);
    my @run = HA::Zero::run_program('sh', '-c', 'id=$1; shift; echo "$id" | "$@"', 'sh', $session->{session}, @argv);
    ok($run[0] == 0 && $run[1] =~ /epoch 1/, 'the record is found') or diag "@run";
    @run = HA::Zero::run_program('sh', '-c', '"$@" </dev/null', 'sh', @argv);
    ok($run[0] == 2 && $run[2] =~ /-sid: has 0 bytes, 1 to 256 are allowed/, 'no line, no id') or diag "@run";
};

subtest 'what is not there is said' => sub {
    my @get = ('get', '-conf=' . $proxy->conf, '-app=App');
    my ($code, $out, $err) = zone(@get, '-sid=nobody');
    is($code, 1, 'no record');
    is(() = $out =~ /^    \S+: no record$/mg, 2, 'on neither node');
    is($err, '', 'and no more to say');
    ($code, $out, $err) = zone(@get, "-sid=$session->{session}.$session->{instance}");
    ok($code == 1 && $err =~ /note: an id is what stands in the cookie before the last dot, without the route/, 'with the route: a hint')
        or diag $err;
    for my $more ('-zone=STORAGE', '-key=basket') {
        ($code, $out) = zone(@get, "-sid=$session->{session}", $more);
        ok($code == 1 && $out =~ /no record/, "$more is another record");
    }
};

subtest 'an older copy is told from the newest' => sub {
    my (undef, $before) = copies();
    my $name = $before->{name};
    my $old = $node{$first}->get($name);
    my $next = cart($client, '/App/cart?add=milk');
    $t->wait_for(sub { my (undef, undef, $copy) = copies(); $copy->{$second}{version} == $next->{version} }, 15, 'the next version');
    $node{$first}->set($name, $old);
    my ($code, undef, $copy) = copies();
    is($code, 1, 'not all is well');
    ok(!$copy->{$first}{newest} && $copy->{$first}{version} == $session->{version}, 'the older one');
    ok($copy->{$second}{newest} && $copy->{$second}{version} == $next->{version}, 'the newest one');
    my (undef, $said) = copies('-show-values');
    like(decode_base64($said->{value_base64}), qr/milk/, 'whose value is shown');
    my (undef, $text) = zone('get', '-conf=' . $proxy->conf, '-app=App', "-sid=$session->{session}");
    is(() = $text =~ /^    \Q$first\E: .* bytes, key \w{16}; older$/mg, 1, 'and as text');
};

subtest 'what does not open is told, with why' => sub {
    my (undef, $before) = copies();
    my $name = $before->{name};
    my $good = $node{$second}->get($name);
    $node{$first}->set($name, substr($good, 0, -1) . chr(1 ^ ord substr $good, -1));
    my ($code, undef, $copy) = copies();
    is($code, 1, 'though the other copy does');
    ok($copy->{$second}{newest} && $copy->{$second}{key} eq $copy->{$first}{key}, 'which is sealed with the same key');
    is($copy->{$first}{why}, 'it was changed, or put under another name', 'a changed byte');
    $node{$first}->set($name, 'x' x 60);
    (undef, undef, $copy) = copies();
    is($copy->{$first}{why}, 'it is of another format', 'other bytes');
    my $other = $t->write_file('other.key', ('7f' x 32) . "\n");
    chmod 0600, $other;
    my $line = 'HAZone App budget=1s store=memcached:' . join(',', sort keys %node) . ' key=';
    my $conf = $t->write_file('other.conf', "$line$other\n");
    ($code) = zone('get', "-conf=$conf", '-app=App', "-sid=$session->{session}");
    is($code, 1, 'another key looks under another name');
    my $own = slurp(zone_key($t)) =~ s/\s//gr;
    spew($other, "names $own\n" . ('7f' x 32) . "\n");
    ($code, my $out) = zone('get', "-conf=$conf", '-app=App', "-sid=$session->{session}");
    ok($code == 1 && $out =~ /\Q$second\E: \d+ bytes that do not open: it was sealed with a key that is not in the key file/,
        'or finds what it cannot open') or diag $out;
    $node{$first}->set($name, $good);
};

subtest 'a node that is lost or hangs is down' => sub {
    my @status = ('status', $proxy->conf);
    my ($code, $out) = zone(@status);
    is($code, 0, 'all are up');
    is(() = $out =~ /^    127\.0\.0\.1:\d+: up for \d+ [smh], version \d\S+, \d+ items, \d+ of 64M bytes, 0 evictions$/mg, 3, 'each says so');
    like($out, qr/^    key file \S+: seals with [0-9a-f]{16}$/m, 'and which key the key file has');
    $node{$first}->pause;
    ($code, $out) = zone(@status);
    ok($code == 1 && $out =~ /^    \Q$first\E: down, no answer within 1000 ms$/m, 'status of one that hangs') or diag $out;
    ($code, undef, my $copy) = copies();
    ok($code == 1 && !$copy->{$first}{up} && $copy->{$first}{why} && $copy->{$second}{found}, 'get, with the other copy');
    $node{$first}->resume;
    $node{$first}->kill;
    ($code, $out) = zone(@status, '-json');
    my ($dead) = grep {$_->{node} eq $first} @{decode_json($out)->{zones}[0]{nodes}};
    ok($code == 1 && !$dead->{up} && $dead->{why} eq 'Connection refused', 'status of one that is dead') or diag $out;
    ($code, undef, $copy) = copies();
    ok($code == 1 && !$copy->{$first}{up} && $copy->{$second}{found}, 'get, with the other copy');
    $node{$first}->restart;
    ($code, undef, $copy) = copies();
    ok($code == 1 && $copy->{$first}{up} && !$copy->{$first}{found}, 'one that came back is empty');
};

subtest 'a session that has ended has a tombstone' => sub {
    cart($client, '/App/logout');
    $t->wait_for(sub { my (undef, undef, $copy) = copies(); $copy->{$second}{tombstone} }, 15, 'a tombstone');
    my ($code, $text) = zone('get', '-conf=' . $proxy->conf, '-app=App', "-sid=$session->{session}");
    ok($code == 0 && $text =~ /^    \Q$second\E: epoch \d+, .*, 0 bytes, key \w{16}, a tombstone: the session has ended$/m, 'and get says so')
        or diag $text;
};

subtest 'the lines of a configuration are found, wherever they stand' => sub {
    my $key = zone_key($t);
    my $store = 'store=memcached:' . $nodes[0]->address . ',' . $nodes[1]->address;
    mkdir $t->dir('sites');
    $t->write_file('sites/part.conf', "HABalancer App\nHAZone App $store budget=900ms\nHAZone App key=\${KEY}\n");
    my $conf = $t->write_file('whole.conf', <<~"END");
        Define KEY $key
        HAZone App zone=USER,STORAGE token=app.token
        HAZone App budget=200ms
        <VirtualHost *:1>
        Include sites/*.conf
        </VirtualHost>
        <VirtualHost *:2>
        HABalancer Shop
        HAZone Shop store=shm:2M
        </VirtualHost>
        <VirtualHost *:3>
        HABalancer App
        HAZone App token=none store=shm
        </VirtualHost>
        END
    my ($code, $out, $err) = zone('status', $conf);
    is($code, 0, 'all is well') or diag $err;
    like($out, qr/^sites\/part\.conf:3: App: USER,STORAGE in 2 memcached$/m, 'in a file that is included in a virtual host, with what it inherits');
    is(() = $out =~ /^sites\S+: App: /mg, 1, 'once, although it inherits');
    my $token = quotemeta $t->dir('app.token');
    like($out, qr/^sites.*\n    key file .*\n    token file $token: given at whole\.conf:2\n/m, 'and where its token is given');
    like($out, qr/^whole\.conf:9: Shop: .*\n    no key file: .*\n    no token file: SetHandler ha-zones does not serve it\n/m, 'or that there is none');
    like($out, qr/^whole\.conf:13: App: .*\n.*\n    no token file: /m, 'or that it is taken back');
    my @zones = @{decode_json((zone('status', '-json', $conf))[1])->{zones}};
    is_deeply([map {$_->{token}} @zones], [{file => $t->dir('app.token'), conf => 'whole.conf', line => 2}, undef, undef], 'in JSON, too');
    like($out, qr/^whole\.conf:9: Shop: USER in shm:2M, which is memory of the server and cannot be read from outside$/m, 'shared memory');
    ($code, undef, $err) = zone('get', "-conf=$conf", '-app=Shop', '-sid=x');
    ok($code == 1 && $err =~ /whole\.conf:9: Shop: the store is shm:2M, which is memory of the server and cannot be read from outside/,
        'which get cannot read') or diag $err;
    my $text = slurp(HA::Test::top_srcdir() . '/t/golden/merged-zones.conf') =~ s/host[ab]:11211/127.0.0.1:1/r =~ s/host[ab]/127.0.0.1/r;
    my $merged = $t->write_file('sites/App.conf', $text);
    ($code, $out) = zone('status', $merged);
    ok($code == 3 && $out =~ /^    key file \S+zone\.key cannot be read: No such file/m, 'a merged file without its key file') or diag $out;
};

subtest 'JSON is JSON, whatever the names are' => sub {
    my $conf = $t->write_file('odd.conf', qq(HAZone 'a"b\\c\e\xff\xc3\xa4' store=shm:1M\n));
    my ($code, $out) = zone('status', '-json', $conf);
    is($code, 0, 'all is well');
    is(decode_json($out)->{zones}[0]{app}, qq(a"b\\c\e\x{fffd}\x{e4}), 'quotes, backslashes, control bytes, and what is no UTF-8');
    my $two = decode_json((zone('status', '-json', $conf, $conf))[1]);
    is(scalar @{$two->{zones}}, 2, 'two files are one list');
};

# A server that says this to whoever asks; its process id and address.
sub liar($bytes)
{
    my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "$!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{PIPE} = 'IGNORE';
        while (my $asker = $listener->accept) {
            sysread $asker, my $question, 100;
            print $asker $bytes;
            $asker->flush;
            sysread $asker, $question, 100;
        }
        POSIX::_exit(0);
    }
    return ($pid, '127.0.0.1:' . $listener->sockport);
}

subtest 'a node that lies is found out' => sub {
    my %lies = (
        'other words' => ["HTTP/1.1 400 Bad Request\r\n\r\nEND\r\n", 'it does not talk as a memcached'],
        'a line without end' => ['STAT version ' . 'x' x 30000, 'it says more than a memcached would'],
        'half an answer' => ["STAT pid 1\r\n", 'no answer within 1000 ms'],
    );
    for my $what (sort keys %lies) {
        my ($pid, $address) = liar($lies{$what}[0]);
        my $conf = $t->write_file('liar.conf', "HAZone App budget=1s store=memcached:$address key=" . zone_key($t) . "\n");
        my ($code, $out) = zone('status', $conf);
        kill 'KILL', $pid;
        waitpid $pid, 0;
        ok($code == 1 && $out =~ /^    \Q$address: down, $lies{$what}[1]\E$/m, $what) or diag $out;
    }
    my ($pid, $address) = liar("STAT version 1.\e[2J\r\nSTAT curr_items 18446744073709551616\r\nEND\r\n");
    my $conf = $t->write_file('liar.conf', "HAZone App budget=1s store=memcached:$address key=" . zone_key($t) . "\n");
    my ($code, $out) = zone('status', $conf);
    kill 'KILL', $pid;
    waitpid $pid, 0;
    ok($code == 0 && $out =~ /version 1\., 0 items/ && $out !~ /\e/, 'a version for a terminal, and a number beyond all') or diag $out;
};

subtest 'what is wrong with the call or the files is said' => sub {
    my $key = zone_key($t);
    my %conf = (
        none => "HABalancer App\n", key => "HAZone App store=memcached:h key=$key\n", nokey => "HAZone App store=memcached:h\n",
        twice => "HAZone App budget=60ms\nHAZone App budget=70ms\n", word => "HAZone App store=redis:h\n", zone => "HAZone App zone=X\n",
        two => "<VirtualHost a>\nHAZone App store=memcached:h key=$key\n</VirtualHost>\n<VirtualHost b>\nHAZone App\n</VirtualHost>\n",
        open => 'HAZone App store=memcached:h key=' . $t->write_file('open.key', slurp($key)) . "\n",
        bad => 'HAZone App store=memcached:h key=' . $t->write_file('bad.key', "hunter2\n") . "\n",
        include => "Include nothere.conf\n",
        far => "HAZone App zone=X\nHAZone App budget=60ms\n", farther => "HAZone App store=redis:h\nHAZone App budget=60ms\n",
        noread => "HAZone App key=nothere.key\n", nokeys => 'HAZone App key=' . $t->write_file('empty.key', '') . "\n",
    );
    chmod 0600, $t->dir('empty.key');
    chmod 0644, $t->dir('open.key');
    chmod 0600, $t->dir('bad.key');
    my %path = map {$_ => $t->write_file("$_.conf", $conf{$_})} keys %conf;
    my @get = (qw(get -app=App -sid=x));
    my @cases = (
        [2, qr/FILE\.\.\. is missing, see zero help zone status/, 'status'],
        [2, qr/unknown option -x, allowed are -json/, 'status', '-x', $path{key}],
        [2, qr/-conf= is missing, see zero help zone get/, @get],
        [2, qr/-app= is missing/, 'get', "-conf=$path{key}", '-sid=x'],
        [2, qr/-sid= is missing/, 'get', "-conf=$path{key}", '-app=App'],
        [2, qr/-sid: has 257 bytes, 1 to 256 are allowed/, 'get', "-conf=$path{key}", '-app=App', '-sid=' . 'x' x 257],
        [2, qr/-key: has 257 bytes, 1 to 256 are allowed/, @get, "-conf=$path{key}", '-key=' . 'x' x 257],
        (map {[2, qr/-zone: "$_" is not USER or STORAGE/, @get, "-conf=$path{key}", "-zone=$_"]} 'USERS', 'USER,STORAGE'),
        [2, qr/unexpected "more"/, @get, "-conf=$path{key}", 'more'],
        [1, qr/none\.conf: there is no HAZone in it, nor in what it includes/, 'status', $path{none}],
        [1, qr/none\.conf: there is no HAZone App in it, nor in what it includes/, @get, "-conf=$path{none}"],
        [1, qr/key\.conf: there is no HAZone Shop in it/, 'get', "-conf=$path{key}", '-app=Shop', '-sid=x'],
        [1, qr/nokey\.conf:1: App: HAZone has no key=, and the server does not start with this/, @get, "-conf=$path{nokey}"],
        [1, qr/twice\.conf:2: HAZone: budget= is given in line 1 already/, 'status', $path{twice}],
        [1, qr/word\.conf:1: HAZone: "redis:h" is no store/, 'status', $path{word}],
        [1, qr/zone\.conf:1: HAZone: a zone is USER, STORAGE or /, 'status', $path{zone}],
        [1, qr/two\.conf:5: App: the store is another one than in line 2 of two\.conf: name a file with one of them/, @get, "-conf=$path{two}"],
        [1, qr/far\.conf:1: HAZone: a zone is /, 'status', $path{far}],
        [1, qr/farther\.conf:1: HAZone: "redis:h" is no store/, 'status', $path{farther}],
        [1, qr/    key file \S+empty\.key: there is no key/, 'status', $path{nokeys}],
        [3, qr/    key file \S+nothere\.key cannot be read: No such file/, 'status', $path{noread}],
        [3, qr/open\.key may be read by others, run chmod 640 on it/, @get, "-conf=$path{open}"],
        [1, qr/bad\.key:1: /, @get, "-conf=$path{bad}"],
        [3, qr/nothere\.conf: cannot be read: No such file/, 'status', $path{include}],
        [3, qr/nothere\.conf: cannot be read: No such file/, 'status', $t->dir('nothere.conf')],
    );
    for my $case (@cases) {
        my ($code, $says, @argv) = @$case;
        my ($got, $out, $err) = zone(@argv);
        ok($got == $code && "$out$err" =~ $says && "$out$err" !~ /hunter2/, "zone $argv[0]: $says") or diag "$got: $out$err";
    }
};

subtest 'the help tells each way to end' => sub {
    for my $name (qw(status get)) {
        my (undef, $help) = zero('help', 'zone', $name);
        like($help =~ s/\n/ /gr, qr/Ends with 0 when all is well, with 1 when a node is down.* is refused, with 2 for a wrong call, with 3 when a file cannot be read\./,
            $name);
    }
};

$proxy->stop;
$t->done;
