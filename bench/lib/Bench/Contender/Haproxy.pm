# SPDX-License-Identifier: Apache-2.0
# Owns HAProxy's configuration: one thread, connections kept on both sides and shared, sessions by
# the cookie SRV as the application sets it.
package Bench::Contender::Haproxy;
use v5.36;

use parent -norequire, 'Bench::Contender';

# A client and a server need a descriptor each.
use constant {MOST_CONNECTIONS => 9500, DESCRIPTORS_A_CONNECTION => 2, OTHER_DESCRIPTORS => 400};

sub missing($self)
{
    return Bench::Contender::find_program('haproxy')
        ? undef
        : 'haproxy is not installed, see tools/setup --bench';
}

sub version($self)
{
    my $line = Bench::Contender::first_line(Bench::Contender::find_program('haproxy') . ' -v');
    return $line =~ /version (\S+)/ ? $1 : $line;
}

sub _most_connections
{
    my $have = int((Bench::Machine::descriptors() - OTHER_DESCRIPTORS) / DESCRIPTORS_A_CONNECTION);
    return $have < MOST_CONNECTIONS ? $have : MOST_CONNECTIONS;
}

# With its own ratios HAProxy keeps no upstream connections once thousands of clients have a
# descriptor each, and connects for every request.
sub _config($self)
{
    my ($members, $routes) = @$self{qw(members routes)};
    my $servers = join "\n    ",
        map {"server $routes->[$_] 127.0.0.1:$members->[$_] cookie $routes->[$_]"} 0 .. $#$members;
    my $log = $self->{log} ? "log stdout format raw local0\n    option httplog clf" : 'no log';
    return <<~"END";
        global
            nbthread 1
            maxconn ${\_most_connections()}
            tune.pool-low-fd-ratio 90
            tune.pool-high-fd-ratio 95

        defaults
            mode http
            $log
            option forwardfor
            http-reuse always
            timeout connect 10s
            timeout client 600s
            timeout server 600s
            timeout http-keep-alive 600s

        frontend clients
            bind 127.0.0.1:$self->{port} backlog 4096
            default_backend members

        backend members
            balance roundrobin
            cookie SRV rewrite
            $servers
        END
}

sub launch($self)
{
    my $t = $self->{t};
    $self->{port} = $t->port;
    my $path = $t->write_file("$self->{folder}.cfg", $self->_config);
    return $self->spawn_on_port(Bench::Contender::find_program('haproxy'), '-db', '-f', $path);
}

1;
