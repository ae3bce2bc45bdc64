# SPDX-License-Identifier: Apache-2.0
# Owns the connections between daemons that are to be cut off from one another: each is reached
# through a port of this process, which ends what it carries for whoever is cut off, in both
# directions. Does not know what they say.
package Bench::Relay;
use v5.36;

use IO::Select;
use IO::Socket::INET;

use constant {TURN_SECONDS => 0.02, READ_BYTES => 65536};

# Starts it: between[ID] is where daemon ID listens. Its ports are in addresses().
sub new($class, $t, $name, @targets)
{
    my @listeners = map {IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $t->port, Listen => 64, ReuseAddr => 1) // die "relay: $!\n"} @targets;
    my $self = bless {t => $t, file => $t->dir("$name.cut"), targets => \@targets, listeners => \@listeners}, $class;
    $self->{addresses} = [map {'127.0.0.1:' . $_->sockport} @listeners];
    $self->{pid} = $t->spawn($name, code => sub { $self->_run });
    close $_ for @listeners;
    return $self;
}

sub addresses($self) { return @{$self->{addresses}} }

# Daemon `id`, whose process that is, hears nobody and is heard by nobody until mend().
sub cut($self, $id, $pid)
{
    $self->{t}->write_file($self->{file}, "$id $pid\n");
    return;
}

sub mend($self)
{
    unlink $self->{file};
    return;
}

# --- its process ----------------------------------------------------------------------------------

# (id, pid) of who is cut off.
sub _who($self)
{
    open(my $in, '<', $self->{file}) or return (-1, 0);
    return split ' ', <$in> // '-1 0';
}

# Whether that process has the other end of a connection that came from this port.
sub _is_from($pid, $port)
{
    my $end = sprintf ':%04X', $port;
    open(my $in, '<', '/proc/net/tcp') or return 0;
    my ($inode) = map {my @f = split; $f[1] =~ /\Q$end\E$/ ? $f[9] : ()} <$in>;
    return 0 if !$inode;
    return !!grep {(readlink // '') eq "socket:[$inode]"} glob "/proc/$pid/fd/*";
}

sub _drop($self, $end)
{
    my $other = delete $self->{other}{$end} // return;
    delete $self->{other}{$other};
    delete @{$self->{carried}}{$end, $other};
    $self->{select}->remove($end, $other);
    close $_ for $end, $other;
    return;
}

# Ends what is carried for who has just been cut off.
sub _look($self)
{
    my ($id, $pid) = $self->_who;
    return if $id == -1;
    for my $carried (values %{$self->{carried}}) {
        my ($to, $from, $end) = @$carried;
        $self->_drop($end) if $to == $id || _is_from($pid, $from);
    }
    return;
}

sub _accept($self, $listener, $to)
{
    my $from = $listener->accept // return;
    my ($id, $pid) = $self->_who;
    return close $from if $id == $to || ($pid && _is_from($pid, $from->peerport));
    my $target = IO::Socket::INET->new(PeerAddr => $self->{targets}[$to]) // return close $from;
    @{$self->{other}}{$from, $target} = ($target, $from);
    $self->{carried}{$from} = [$to, $from->peerport, $from];
    $self->{select}->add($from, $target);
    return;
}

sub _carry($self, $end)
{
    my $other = $self->{other}{$end} // return;
    my $got = sysread $end, my $bytes, READ_BYTES;
    return $self->_drop($end) if !$got;
    while (length $bytes) {
        my $put = syswrite($other, $bytes) // return $self->_drop($end);
        substr($bytes, 0, $put) = '';
    }
    return;
}

sub _run($self)
{
    local $SIG{PIPE} = 'IGNORE';
    @$self{qw(other carried)} = ({}, {});
    my %to = map {$self->{listeners}[$_] => $_} 0 .. $#{$self->{listeners}};
    $self->{select} = IO::Select->new(@{$self->{listeners}});
    while (1) {
        for my $ready ($self->{select}->can_read(TURN_SECONDS)) {
            defined $to{$ready} ? $self->_accept($ready, $to{$ready}) : $self->_carry($ready);
        }
        $self->_look;
    }
    return;
}

1;
