# SPDX-License-Identifier: Apache-2.0
# Owns writing maps of a cluster as its daemon does, byte for byte (doc/map.md), and by rename. Does
# not own what is in them.
package HA::Map;
use v5.36;

use Digest::SHA qw(sha256_hex);
use Time::HiRes qw(time);

# Maps at this path. Options: uuid => of the cluster; mode => of the file.
sub new($class, $path, %opt)
{
    return bless {
        path => $path,
        uuid => $opt{uuid} // '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0',
        version => 0,
        mode => 0644,
        %opt,
    }, $class;
}

sub path($self)    { return $self->{path} }
sub version($self) { return $self->{version} }

sub _value($value)
{
    return defined $value ? qq("$value") : 'null';
}

# Lines of an object or a list, indented as jansson does.
sub _block($open, $close, @rows)
{
    return "$open$close" if !@rows;
    return join '', "$open\n", join(",\n", map {s/^/  /gmr} @rows), "\n$close";
}

sub _member($member)
{
    my %member = (weight => 1, admin => 'enabled', %$member);
    return _block('{', '}', map {qq("$_": ) . ($_ eq 'weight' ? $member{$_} : _value($member{$_}))}
            qw(route url weight admin));
}

# members: [{route, url, weight, admin}, ...]; active (undef: nobody) and epoch where there is one.
sub _app($name, $app)
{
    my @members = map {_member($_)} sort {$a->{route} cmp $b->{route}} @{$app->{members}};
    my @single = exists $app->{active} ? ('"active": ' . _value($app->{active}), qq("epoch": $app->{epoch})) : ();
    return _block('{', '}', qq("name": "$name"), @single, '"members": ' . _block('[', ']', @members));
}

# The text of a map with these applications: name => {members, active, epoch}.
sub text($self, $version, %apps)
{
    my $node = _block('{', '}', '"id": "node1"', '"address": "192.0.2.1:7946"', '"role": "voter"', '"electable": true');
    my $body = _block('{', '}', qq("uuid": "$self->{uuid}"), qq("version": $version), '"term": 1', '"primary": "node1"',
        '"nodes": ' . _block('[', ']', $node), '"apps": ' . _block('[', ']', map {_app($_, $apps{$_})} sort keys %apps)) . "\n";
    return sprintf("zero-map 1 %d %s\n", length $body, sha256_hex($body)) . $body;
}

# Writes these bytes in one step. When that was.
sub put($self, $text)
{
    my $temp = "$self->{path}.new";
    open(my $out, '>:raw', $temp) or die "$temp: $!\n";
    print $out $text;
    close $out or die "$temp: $!\n";
    chmod $self->{mode}, $temp;
    my $when = time;
    rename $temp, $self->{path} or die "$self->{path}: $!\n";
    return $when;
}

# Writes the next map, with these applications. Its version.
sub next($self, %apps)
{
    $self->put($self->text(++$self->{version}, %apps));
    return $self->{version};
}

# Waits until all children of a server follow this version; they log that with LogLevel
# haproxy:debug.
sub await($self, $t, $server, $version = $self->{version})
{
    my $line = qr/\[pid (\d+)[:\]].*HAMap: this child follows map $version$/;
    $t->wait_for(
        sub {
            my %follows = map {$_ =~ $line ? ($1 => 1) : ()} @{$server->log->lines};
            my @children = $server->children;
            return @children && !grep {!$follows{$_}} @children;
        },
        15,
        "map $version in all children"
    );
    return;
}

# A row of `members` for an instance of HA::App.
sub member($app, %opt)
{
    return {route => $app->name, url => $app->url, %opt};
}

1;
