# SPDX-License-Identifier: Apache-2.0
# Owns what tests of session zones have in common: a proxy with a zone, and reading what the test
# application says of a session.
package HA::Zone;
use v5.36;

use Exporter qw(import);
our @EXPORT_OK = qw(all_serve begin_cart cart cart_of counters each_way end_cart holder leaked put_fields record_name store_of
    stored two_clients without zone_address zone_httpd zone_key zone_lines zone_token);

use Digest::SHA qw(hmac_sha256);
use JSON::PP qw(decode_json);
use MIME::Base64 qw(encode_base64url);
use Test::More ();

use HA::Client;
use HA::Memcached;
use HA::Mount qw(balancer);
use HA::ZoneField;

# What the test application says of the session of this request: {status, instance, epoch, version,
# visits, items, session}. Options as HA::Client's request, and method => 'POST'.
sub cart($client, $path, %opt)
{
    my $method = delete $opt{method} // 'GET';
    return cart_of($client->request($method => $path, %opt));
}

# The same of an answer that is there.
sub cart_of($answer)
{
    return {status => $answer->status, %{HA::ZoneField::cart($answer) // {}}};
}

# The same in two steps, to do something between them: the request is sent, and its answer read.
sub begin_cart($client, $path, %opt)
{
    my $method = delete $opt{method} // 'GET';
    $client->closed(0);
    $client->send($client->format_request($method, $path, %opt)) or die "no request: $client->{error}\n";
    return;
}

sub end_cart($client, %opt)
{
    return cart_of($client->read_response($opt{method} // 'GET'));
}

# Names of fields of the zones' family that came to the client.
sub leaked(@responses)
{
    return join ' ', grep {/^ha[-_](?:session|fence)/i} map {$_->[0]} map {@{$_->{fields}}} @responses;
}

# The instance that has said this of a session, and the others.
sub holder($cart, @apps)
{
    my ($holder) = grep {$_->name eq ($cart->{instance} // '')} @apps;
    die "no instance has answered, status $cart->{status}\n" if !$holder;
    return ($holder, grep {$_ != $holder} @apps);
}

# Two clients of one session with tea in its cart, the instance that has it, and the others.
sub two_clients($t, $proxy, @apps)
{
    my @clients = map {$t->client(port => $proxy->port)} 1, 2;
    my $first = cart($clients[0], '/App/cart?add=tea');
    $clients[1]->set_cookie('zsessionid', $clients[0]->cookie('zsessionid'));
    return (@clients, holder($first, @apps));
}

# Waits until each of them gets requests, when some were started again.
sub all_serve($t, $proxy, @apps)
{
    my $client = $t->client(port => $proxy->port, cookies => 0);
    my %seen;
    $t->wait_for(
        sub {
            $seen{$client->get('/App/plain')->instance // ''} = 1;
            return !grep {!$seen{$_->name}} @apps;
        },
        15, 'all instances to serve'
    );
    return;
}

# The field lines of an answer with this state of a session, for HA::App's zone_say.
sub put_fields($id, $version, $state, %opt)
{
    my $ttl = $opt{ttl} // 1800;
    my @parts = unpack '(a7000)*', encode_base64url($state);
    return [
        qq(HA-Session: put; id="$id"; ver=$version; ttl=$ttl; parts=) . @parts,
        map {"HA-Session-Data: $_; $parts[$_]"} 0 .. $#parts
    ];
}

# Tells a story over the lane and over the standard path, each with shm and with two memcached, in a
# subtest with a proxy of its own that has counters: story($proxy, 'On' or 'Off', @nodes). Options as
# zone_httpd, and stores => [...], lanes => [...] for fewer ways. The store has time: what it does when
# it has none is not theirs.
sub each_way($t, $apps, $story, %opt)
{
    my @stores = @{delete $opt{stores} // [qw(shm memcached)]};
    my @lanes = @{delete $opt{lanes} // [qw(On Off)]};
    for my $store (@stores) {
        my @nodes = $store eq 'shm' ? () : map {HA::Memcached->new($t, 'memcached' . ++$t->{memcacheds})} 1, 2;
        for my $lane (@lanes) {
            my $tell = sub {
                my $name = "$store-$lane-" . ++$t->{ways};
                my $proxy = zone_httpd($t, $apps, name => $name, lane => $lane, nodes => \@nodes, counted => 1, zone => 'budget=1s', %opt);
                $story->($proxy, $lane, @nodes);
                $proxy->stop;
            };
            Test::More::subtest("$store, HALane $lane" => $tell);
        }
    }
    return;
}

# Kills an instance, does something without it, and starts it again: when this is over all proxies
# that run have noticed both.
sub without($t, $app, $do)
{
    my ($name, $proxies) = ($app->name, scalar grep {$_->running} @{$t->{httpds}});
    $t->mark;
    $app->kill;
    $do->();
    $t->wait_for(qr/member $name: \S+ -> down/) for 1 .. $proxies;
    $app->start;
    $t->wait_for(qr/member $name: down -> up/) for 1 .. $proxies;
    return;
}

# A key file of its own for a test, mode 0600. Its path.
sub zone_key($t, $name = 'zone.key', @lines)
{
    @lines = map {sprintf '%064x', $_} 0x5eed if !@lines;
    my $path = $t->write_file($name, join '', map {"$_\n"} @lines);
    chmod 0600, $path or die "$path: $!\n";
    return $path;
}

# The name of App's record of a session in a memcached, as doc/zone-record.md makes it from the key of
# zone_key.
sub record_name($sid, $key = sprintf '%064x', 0x5eed)
{
    return 'haz1:' . encode_base64url(hmac_sha256("app\0USER\0$sid", pack 'H*', $key));
}

# A token file, mode 0600, and the token in it.
sub zone_token($t, $name)
{
    my $token = "the-token-of-$name";
    my $path = $t->write_file("$name.token", "$token\n");
    chmod 0600, $path or die "$path: $!\n";
    return ($path, $token);
}

# The address of zones, /zones, on the second port of an httpd, to which it is alone.
sub zone_address($require = 'Require ip 127.0.0.1')
{
    return <<~"CONFIG";
        <VirtualHost 127.0.0.1:\@PORT2\@>
            AllowEncodedSlashes NoDecode
            <Location "/zones">
                SetHandler ha-zones
                $require
            </Location>
        </VirtualHost>
        CONFIG
}

# store= for these memcached; shm without any.
sub store_of(@nodes)
{
    return @nodes ? 'memcached:' . join ',', map {$_->address} @nodes : 'shm';
}

# The HAZone line of App. Options: nodes => [...], or store => 'shm:1M'; key => FILE; zone => more
# arguments.
sub zone_lines($t, %opt)
{
    my @nodes = @{$opt{nodes} // []};
    my $key = @nodes ? 'key=' . ($opt{key} // zone_key($t)) : '';
    return join(' ', 'HAZone App', 'store=' . ($opt{store} // store_of(@nodes)), $key, $opt{zone} // ()) . "\n";
}

# An httpd with App on these instances, and a zone for it. Options as zone_lines; lane => 'On';
# check, ours as in HA::Mount::balancer; more => further configuration; counted => 1 for its counters;
# others as HA::Httpd.
sub zone_httpd($t, $apps, %opt)
{
    if (delete $opt{counted}) {
        my ($file) = zone_token($t, 'App');
        %opt = (%opt, ports => 2, zone => join(' ', $opt{zone} // (), "token=$file"), more => ($opt{more} // '') . zone_address());
    }
    my %mount = (check => 'interval=100ms', map {$_ => delete $opt{$_}} grep {exists $opt{$_}} qw(check ours set));
    my $lane = delete $opt{lane} // 'On';
    my $config = balancer('App', $apps, %mount) . zone_lines($t, map {$_ => delete $opt{$_}} grep {exists $opt{$_}} qw(nodes store key zone));
    $config .= "HALane $lane\n" . (delete $opt{more} // '');
    return $t->httpd(modules => [qw(proxy proxy_http authz_host)], haproxy => 1, %opt, config => $config);
}

# What its store has of a session of App, with counted => 1: the answer of L2.
sub stored($proxy, $id)
{
    my $client = HA::Client->new(port => $proxy->port(2), cookies => 0);
    return $client->get("/zones/USER/$id", headers => {Authorization => 'Bearer the-token-of-App'});
}

# What it has counted for App, with counted => 1.
sub counters($proxy)
{
    my $client = HA::Client->new(port => $proxy->port(2));
    my $answer = $client->get('/zones/', headers => {Authorization => 'Bearer the-token-of-App'});
    return decode_json($answer->body)->{counters};
}

1;
