# SPDX-License-Identifier: Apache-2.0
# States of every size reach the next instance as they were, byte for byte, and what breaks the rules
# of the fields changes nothing but a counter.
use v5.36;

use MIME::Base64 qw(decode_base64url encode_base64url);

use HA::Mount qw(one_child);
use HA::Test;
use HA::Zone qw(cart counters each_way put_fields without);

use constant {PART_CHARS => 7000, STATE_BYTES_MAX => 21000, VERSION_MAX => 999_999_999_999_999};

my $t = HA::Test->new;
my @apps = my ($a, $b) = map {$t->app($_, zones => 1)} qw(hostA hostB);
$t->expect_log(
    qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114/,
    qr/App: member hostA: a state was not kept: /
);

# A client with a session on hostA that has tea in its cart, and the session's id.
sub on_host_a($proxy)
{
    while (1) {
        my $client = $t->client(port => $proxy->port);
        my $cart = cart($client, '/App/cart?add=tea');
        return ($client, $cart->{session}) if $cart->{instance} eq 'hostA';
    }
}

# hostA answers a request of this client with these lines. True if it is served, without any of them.
sub says($client, @lines)
{
    $a->zone_say(\@lines, 1);
    my $answer = $client->get('/App/cart');
    my @seen = grep {/^HA-/i} map {$_->[0]} @{$answer->fields};
    return $answer->status == 200 && $answer->body =~ /^hostA / && !@seen;
}

# What hostB is told with a request, while hostA is lost: (HA-Session, state).
sub told($client)
{
    my $answer = $client->get('/App/echo');
    my %fields = ($answer->body =~ /^(HA-(?!Session-Data)[\w-]+): (.*?)\r?$/mgi);
    my %parts = ($answer->body =~ /^HA-Session-Data: (\d+); (.*?)\r?$/mgi);
    return ($fields{'HA-Session'} // '', decode_base64url(join '', map {$parts{$_}} sort keys %parts));
}

sub random_bytes($n)
{
    return join '', map {chr int rand 256} 1 .. $n;
}

# A `put` with these parts, given as they are.
sub parts($version, @parts)
{
    return "HA-Session: put; ver=$version; ttl=1800; parts=" . @parts, map {"HA-Session-Data: $_; $parts[$_]"} 0 .. $#parts;
}

my @sizes = (0, 1, 2, 3, 5249, 5250, 5251, 6999, 7000, 7001, 15750, 15751, STATE_BYTES_MAX - 1, STATE_BYTES_MAX);

sub sizes($proxy, @)
{
    my @sessions;
    for my $bytes (@sizes) {
        my ($client, $id) = on_host_a($proxy);
        my $state = random_bytes($bytes);
        ok(says($client, @{put_fields($id, 1000 + $bytes, $state)}), "a state of $bytes bytes is put");
        push @sessions, [$bytes, $client, $state];
    }
    my $look = sub {
        for my $session (@sessions) {
            my ($bytes, $client, $state) = @$session;
            my ($said, $restored) = told($client);
            my $parts = int((4 * $bytes + 2) / 3 + PART_CHARS - 1) / PART_CHARS;
            is($said, sprintf('restore; ver=%d; from="hostA"; parts=%d', 1000 + $bytes, $parts), "$bytes bytes are restored");
            ok($restored eq $state, 'as they were');
        }
    };
    without($t, $a, $look);
    is(counters($proxy)->{refused}, 0, 'and nothing is refused');
    return;
}

# Other ways to say the same.
sub spellings($proxy, @)
{
    my $state = random_bytes(16000);
    my @parts = unpack '(a7000)*', encode_base64url($state);
    my @field = map {"$_; $parts[$_]"} 0 .. $#parts;
    my @data = map {"HA-Session-Data: $_"} @field;
    my @small = map {"HA-Session-Data: $_"} '0; QUJD', '1; REVG';
    my $head = 'put; ver=2000; ttl=1800; parts=' . @parts;
    my %ways = (
        'parts in another order' => ["HA-Session: $head", reverse @data],
        'parts before the head' => [@data, "HA-Session: $head"],
        'names in another case' => ["ha-session: $head", map {s/HA-Session/hA-sESSION/r} @data],
        'parameters in another order' => ["HA-Session: put;parts=@{[scalar @parts]};ttl=1800;  ver=2000", @data],
        'parameters that nobody knows' => ["HA-Session: $head; a; b=\"; ver=1\"; c=1.5; d=:QQ==:", @data],
        'the highest version' => ['HA-Session: put; ver=' . VERSION_MAX . '; ttl=1800; parts=' . @parts, @data],
        'parts of other lengths' => ['HA-Session: put; ver=2000; ttl=1800; parts=2', @small],
        'parts in one field' => ['HA-Session: put; ver=2000; ttl=1800; parts=2', 'HA-Session-Data: 1; REVG, 0; QUJD'],
    );
    my @sessions;
    for my $way (sort keys %ways) {
        my ($client) = on_host_a($proxy);
        ok(says($client, @{$ways{$way}}), "$way: the answer is served");
        push @sessions, [$way, $client, "@{$ways{$way}}" =~ /QUJD/ ? 'ABCDEF' : $state];
    }
    my $look = sub {
        for my $session (@sessions) {
            my ($way, $client, $want) = @$session;
            ok((told($client))[1] eq $want, "$way: it is kept");
        }
    };
    without($t, $a, $look);
    is(counters($proxy)->{refused}, 0, 'and nothing is refused');
    return;
}

# What breaks the rules, by what it is.
sub broken
{
    my $head = 'HA-Session: put; ttl=1800; ver';
    my $full = 'x' x PART_CHARS;
    my @two = map {"HA-Session-Data: $_"} '0; QUJD', '1; REVG';
    my %broken = (
        'a byte too many' => [parts(2000, unpack '(a7000)4 a*', encode_base64url('x' x (STATE_BYTES_MAX + 1)))],
        'a part of 7,001 characters' => [parts(2000, "${full}x")],
        'a part without characters' => [parts(2000, '')],
        'five parts' => [parts(2000, ('QUJD') x 5)],
        'a part missing' => ["$head=2000; parts=2", $two[0]],
        'the first part missing' => ["$head=2000; parts=2", $two[1]],
        'a part that was not announced' => ["$head=2000; parts=1", @two],
        'no part announced' => ["$head=2000; parts=0", $two[0]],
        'a part twice' => ["$head=2000; parts=2", @two, $two[1]],
        'a part in place of another' => ["$head=2000; parts=2", @two[0, 0]],
        'a part of a high number' => ["$head=2000; parts=2", $two[0], 'HA-Session-Data: 2; REVG'],
        'a part without a number' => ["$head=2000; parts=1", 'HA-Session-Data: QUJD'],
        'parts without a head' => [@two],
        'padding' => [parts(2000, 'QUI=')],
        'the other base64' => [parts(2000, 'QU+/')],
        'no base64' => [parts(2000, 'QU!D')],
        'a character too few' => [parts(2000, 'QUJDR')],
        'bits that mean nothing' => [parts(2000, 'QR')],
        'two heads' => [parts(2000, 'QUJD'), "$head=2001; parts=1"],
        'two heads that are the same' => [("$head=2000; parts=0") x 2],
        'nothing' => ['HA-Session: '],
        'an unknown word' => ['HA-Session: putt; ver=2000; ttl=1800; parts=0'],
        'a string that does not end' => ["$head=2000; parts=0; id=\"abc"],
        'something behind it' => ["$head=2000; parts=0 or so"],
        'a parameter twice' => ["$head=2000; parts=0; ver=2001"],
        'no ttl' => ['HA-Session: put; ver=2000; parts=0'],
        'no parts' => ['HA-Session: put; ver=2000; ttl=1800'],
        'no ver' => ['HA-Session: put; ttl=1800; parts=0'],
        'touch without ttl' => ['HA-Session: touch'],
        'rekey without new' => ['HA-Session: rekey'],
        'an id of 257 bytes' => ["$head=2000; parts=0; id=\"" . 'x' x 257 . '"'],
        'an id without quotes' => ["$head=2000; parts=0; id=abc"],
        'an empty id' => ["$head=2000; parts=0; id=\"\""],
    );
    for my $number ('', '0', '-1', '1.5', '1e3', '0x10', '"17"', 'x', '?1', VERSION_MAX + 1, '9' x 30) {
        $broken{"ver=$number"} = ["$head=$number; parts=0"];
    }
    $broken{"ttl=$_"} = ["HA-Session: put; ver=2000; ttl=$_; parts=0"] for '', '0', '-1', '1.5', 'x', '9' x 30;
    $broken{"parts=$_"} = ["$head=2000; parts=$_"] for '', '-1', '5', 'x', '4294967296';
    return \%broken;
}

sub rules($proxy, @)
{
    my ($client, $id) = on_host_a($proxy);
    my $state = random_bytes(100);
    ok(says($client, @{put_fields($id, 1000, $state)}), 'a state is put');
    my $refused = counters($proxy)->{refused};
    my $broken = broken();
    for my $how (sort keys %$broken) {
        ok(says($client, @{$broken->{$how}}), "$how: the answer is served");
        is(counters($proxy)->{refused}, ++$refused, 'and what it says is refused');
    }
    is($proxy->log->count(qr/App: member hostA: a state was not kept: \w/), 1, 'the log says so once a minute');
    ok(says($client, @{put_fields($id, 999, 'old')}), 'an older version is served too');
    is(counters($proxy)->{refused}, $refused, 'and not refused, but');
    my ($said, $restored);
    without($t, $a, sub { ($said, $restored) = told($client) });
    is($said, 'restore; ver=1000; from="hostA"; parts=1', 'the state that was there counts');
    ok($restored eq $state, 'and is as it was');
    return;
}

# The first state of a session is broken, the next one is not.
sub mended($proxy, @)
{
    my %how = ('no base64' => [parts(5, 'QU!D')], 'no ttl' => ['HA-Session: put; ver=5; parts=0']);
    for my $how (sort keys %how) {
        my ($client, $cart);
        do {
            $client = $t->client(port => $proxy->port);
            $a->zone_say($how{$how}, 1);
            $cart = cart($client, '/App/cart?add=tea');
            $a->zone_say;
        } until $cart->{instance} eq 'hostA';
        is(cart($client, '/App/cart?add=milk')->{items}, 'tea,milk', "$how: the session goes on");
        without($t, $a, sub { $cart = cart($client, '/App/cart') });
        is("$cart->{instance} $cart->{items}", 'hostB tea,milk', 'and is kept from its first good state on');
    }
    is(counters($proxy)->{unissued}, 0, 'as one that was issued');
    return;
}

my %stories = (sizes => \&sizes, spellings => \&spellings, rules => \&rules, mended => \&mended);
for my $story (sort keys %stories) {
    subtest $story => sub {
        my %ways = $story eq 'sizes' ? () : (stores => ['memcached']);
        each_way($t, \@apps, $stories{$story}, zone => 'budget=1s', mpm_config => one_child(25), %ways);
    };
}

$t->done;
