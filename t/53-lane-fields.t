# SPDX-License-Identifier: Apache-2.0
# Fields that Header, RequestHeader and AddDefaultCharset change are the same with the lane as
# without it.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');

# One mount for each row, under its name.
my %rules = (
    none => '',
    set => "Header set X-A new\nHeader set X-B \"b c\"",
    many => "Header set X-Two one",
    append => "Header append X-A more\nHeader append X-Two three\nHeader append X-New x",
    add => "Header add X-A again\nHeader add Set-Cookie own=1\nHeader set Location /there",
    unset => "Header unset x-two\nHeader unset Set-Cookie\nHeader unset Location\nHeader unset ETag\n"
        . 'Header unset Nothing',
    merge => "Header merge X-A old\nHeader merge X-List b\nHeader merge X-List d\nHeader merge X-New x",
    always => "Header always set X-A err\nHeader always append X-E 1\nHeader always append X-E 2\n"
        . "Header always unset X-Two\nHeader unset X-A\nHeader onsuccess set X-On 100%%",
    order => "Header unset X-A\nHeader append X-A 1\nHeader append X-A 2\nHeader add X-A 3\nHeader unset X-A\n"
        . "Header add X-A 4",
    vary => "Header append Vary Accept\nHeader always set Vary X-Always\nHeader merge Cache-Control public",
    type => "Header set Content-Type text/html",
    typed => "Header append Content-Type x\nHeader always set Content-Type text/x-always",
    charset => 'AddDefaultCharset utf-8',
    latin => "AddDefaultCharset On\nHeader set Content-Type text/plain",
    off => 'AddDefaultCharset Off',
    empty => 'Header set X-A ""',
    rset => "RequestHeader set X-Forwarded-Proto https\nRequestHeader set X-A new\nRequestHeader set X-Two x",
    rappend => "RequestHeader append X-A b\nRequestHeader append X-Two three\nRequestHeader append X-New x",
    radd => "RequestHeader add X-A b\nRequestHeader merge X-Two two\nRequestHeader merge X-Two three",
    runset => "RequestHeader unset X-Two\nRequestHeader unset Authorization\nRequestHeader unset Cookie\n"
        . "RequestHeader unset Accept-Encoding",
    rproxy => "RequestHeader set X-Forwarded-For 10.0.0.1\nRequestHeader unset X-Forwarded-Host\n"
        . "RequestHeader set Via \"1.0 me\"",
);
my @names = sort keys %rules;
my $mounts = join '', map {
    qq(ProxyPass "/$_" "balancer://App/App"\nProxyPassReverse "/$_" "balancer://App/App"\n)
        . "<Location /$_>\n$rules{$_}\n</Location>\n"
} @names;

sub server($lane)
{
    return $t->httpd(
        name => lc $lane =~ s/\W.*//r,
        modules => [qw(proxy proxy_http headers)],
        haproxy => 1,
        log_level => 'info haproxy:debug',
        config => <<~"CONFIG",
            ServerName app.example
            UseCanonicalName Off
            RequestHeader unset Proxy early
            <Proxy "balancer://App">
            BalancerMember "${\$app->url}" route=hostA
            ProxySet stickysession=zsessionid
            </Proxy>
            HABalancer App
            HALane $lane
            $mounts
            CONFIG
    );
}

my %server = (off => server('Off'), on => server('Require'));
my %client = map {$_ => $t->client(port => $server{$_}->port, host => 'app.example', cookies => 0)} qw(off on);

# Head and body of what came, one field a line, sorted.
sub shown($answer)
{
    # How a folded line is joined is up to each.
    my @fields = map {"$_->[0]: $_->[1]\n" =~ s/ +/ /gr} grep {$_->[0] !~ /^(?:Date|Content-Length)$/i} @{$answer->fields};
    my $body = $answer->body;
    if ($body =~ /^GET /) {
        # Lines of one name are one list: httpd writes them as one.
        my (%values, $first);
        ($first, my @lines) = split /\r\n/, $body;
        for my $line (@lines) {
            my ($name, $value) = split /: ?/, $line, 2;
            push @{$values{lc $name}}, $value;
        }
        $body = join "\n", $first, map {"$_: " . join ', ', @{$values{$_}}} sort keys %values;
    }
    return join '', $answer->status, "\n", (sort map {s/^([^:]+)/lc $1/er} @fields), "\n$body";
}

sub same($name, $path, $what, %opt)
{
    my %got;
    for my $which (qw(off on)) {
        $app->raw(stay => $opt{answer}, 1) if $opt{answer};
        $got{$which} = shown($client{$which}->request($opt{method} // 'GET', $path, headers => $opt{headers} // []));
    }
    is($got{on}, $got{off}, "$name: $what");
    return $got{on};
}

my @fields = (
    'X-A: old', 'X-Two: one', 'X-Two: two', 'X-List: a, b ,c', 'Vary: Cookie,  Accept', 'Vary: cookie',
    'Set-Cookie: a=b; Path=/App', 'Set-Cookie: c=d', 'ETag: "x"', 'Location: ' . $app->url('/App/x'),
);

sub raw($status, @more)
{
    my $body = $status == 304 || $status == 204 ? '' : 'body';
    return join "\r\n", "HTTP/1.1 $status Whatever", @fields, @more,
        $body ? 'Content-Length: 4' : (), '', $body;
}

for my $name (@names) {
    subtest $name => sub {
        for my $type ('text/plain', 'text/html; charset=x', 'TEXT/HTML', 'image/png') {
            same($name, "/$name/raw", $type, answer => raw(200, "Content-Type: $type"));
        }
        same($name, "/$name/raw", 'no type', answer => raw(200));
        same($name, "/$name/raw", "an answer of $_", answer => raw($_, 'Content-Type: text/html'))
            for 204, 304, 404, 500;
        same($name, "/$name/raw", 'HEAD', method => 'HEAD',
            answer => raw(200, 'Content-Type: text/html') =~ s/body$//r);
        same($name, "/$name/raw", 'folded', answer => raw(200, "X-A: c\r\n d", 'Content-Type: text/html'));
        same($name, "/$name/raw", 'a field of the connection',
            answer => raw(200, 'Connection: X-A', 'Content-Type: text/html'));
        same($name, "/$name/echo", 'the request',
            headers => ['X-A' => 'a', 'X-Two' => 'one', 'X-Two' => 'two', Cookie => 'a=b', Authorization => 'x',
                'X-Forwarded-For' => '1.2.3.4', 'X-Forwarded-Host' => 'h', Via => '1.1 x', Proxy => 'evil',
                'Accept-Encoding' => 'gzip']);
        same($name, "/$name/echo", 'a request with few fields');
    };
}

is($server{on}->log->count(qr/given back by the lane/), 0, 'the lane carried them all');
$t->done;
