# SPDX-License-Identifier: Apache-2.0
# Owns hosts of a test: network namespaces on one bridge, with names of their own, all inside a
# namespace of the test, with which they end. Any direction between two of them can be cut: what is
# sent then goes to an address that nobody has, and no sender is told. Does not start daemons.
package HA::Hosts;
use v5.36;

use HA::Test;

use constant {READY_SECONDS => 10, NOBODY => '02:00:00:00:77:ff'};

# Puts the test into its own namespace, by running it anew. Why that cannot be done, or undef.
sub enter()
{
    my $why_not = sub {
        return 'only root makes network namespaces' if $> != 0;
        return 'ip, of iproute2, is missing' if !grep {-x "$_/ip"} '/sbin', split /:/, $ENV{PATH};
        my $can = 'mount --make-rprivate / && ip link add bridge0 type bridge && ip link add veth0 type veth peer name veth1 && mount -t tmpfs none /mnt';
        return 'namespaces, bridges or mounts are not allowed here' if system("unshare -n -m sh -c '$can' >/dev/null 2>&1") != 0;
        return undef;
    };
    return HA::Test::enter_namespaces($why_not, '-n', '-m') // (system('ip link set lo up') == 0 ? undef : 'no loopback');
}

# `n` hosts, from 0: each has fd00:77::(i+1) and 10.77.0.(i+1), and knows the names host0, ... .
sub new($class, $t, $n)
{
    my $self = bless {t => $t, n => $n, hosts => []}, $class;
    run(qw(ip link add br0 type bridge));
    run(qw(ip link set br0 up));
    $self->{names} = {map {("host$_" => "fd00:77::" . ($_ + 1))} 0 .. $n - 1};
    $t->write_file('nsswitch.conf', "hosts: files\n");
    $t->write_file('hosts', '');
    $self->name;
    $self->_host($_) for 0 .. $n - 1;
    $self->heal;
    return $self;
}

sub run(@command)
{
    system(@command) == 0 or die "@command failed\n";
    return;
}

sub _host($self, $i)
{
    my $t = $self->{t};
    my $pid = $t->spawn("host$i", cmd => [qw(unshare -n -m sleep infinity)]);
    my $own = readlink '/proc/self/ns/net';
    $t->wait_for(sub { (readlink("/proc/$pid/ns/net") // $own) ne $own && (readlink("/proc/$pid/exe") // '') =~ /sleep|busybox/ }, READY_SECONDS, "host$i");
    $self->{hosts}[$i] = {pid => $pid, mac => sprintf('02:00:00:00:77:%02x', $i + 1), addresses => ['fd00:77::' . ($i + 1), '10.77.0.' . ($i + 1)]};
    run('ip', 'link', 'add', "port$i", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', $pid);
    run('ip', 'link', 'set', "port$i", 'master', 'br0', 'up');
    $self->on($i, qw(ip link set lo up));
    $self->on($i, qw(ip link set eth0 address), $self->{hosts}[$i]{mac});
    $self->on($i, qw(ip link set eth0 up));
    $self->on($i, qw(ip addr add), $self->{hosts}[$i]{addresses}[0] . '/64', qw(dev eth0 nodad));
    $self->on($i, qw(ip addr add), $self->{hosts}[$i]{addresses}[1] . '/24', qw(dev eth0));
    $self->on($i, qw(mount --bind), $t->dir($_), "/etc/$_") for 'hosts', 'nsswitch.conf';
    return;
}

# What runs a command on a host: its words go before those of the command.
sub before($self, $i)
{
    return ('nsenter', '-t', $self->{hosts}[$i]{pid}, '-n', '-m', '--');
}

sub on($self, $i, @command)
{
    return run($self->before($i), @command);
}

# From now on the names are of these addresses, beside those that they are of already.
sub name($self, %new)
{
    %{$self->{names}} = (%{$self->{names}}, %new);
    # The file stays the same one, as it is mounted.
    open(my $out, '+<', $self->{t}->dir('hosts')) or die "hosts: $!\n";
    print $out join('', "127.0.0.1 localhost\n", map {"$self->{names}{$_} $_\n"} sort keys %{$self->{names}});
    truncate $out, tell $out;
    return close $out;
}

# A host has another IPv6 address, and loses that which it had.
sub move($self, $i, $address)
{
    my $host = $self->{hosts}[$i];
    $self->on($i, qw(ip addr add), "$address/64", qw(dev eth0 nodad));
    $self->on($i, qw(ip addr del), "$host->{addresses}[0]/64", qw(dev eth0));
    $host->{addresses}[0] = $address;
    $self->heal;
    $self->name("host$i" => $address);
    return;
}

sub _neighbour($self, $from, $to, $mac)
{
    $self->on($from, qw(ip neigh replace), $_, 'lladdr', $mac, qw(dev eth0 nud permanent)) for @{$self->{hosts}[$to]{addresses}};
    return;
}

# Nothing that this one sends gets to the other one.
sub cut_way($self, $from, $to)
{
    return $self->_neighbour($from, $to, NOBODY);
}

# These hosts hear nothing of the others, and the others nothing of them.
sub cut($self, @hosts)
{
    my %cut = map {$_ => 1} @hosts;
    for my $one (@hosts) {
        for my $other (grep {!$cut{$_}} 0 .. $self->{n} - 1) {
            $self->cut_way($one, $other);
            $self->cut_way($other, $one);
        }
    }
    return;
}

sub heal($self)
{
    for my $from (0 .. $self->{n} - 1) {
        $self->_neighbour($from, $_, $self->{hosts}[$_]{mac}) for grep {$_ != $from} 0 .. $self->{n} - 1;
    }
    return;
}

1;
