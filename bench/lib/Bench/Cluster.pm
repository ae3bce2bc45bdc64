# SPDX-License-Identifier: Apache-2.0
# Owns the three daemons that bench/failover measures: their start, who leads and who is active, and
# what is asked of them without waiting. Does not measure.
package Bench::Cluster;
use v5.36;

use IO::Socket::UNIX;
use JSON::PP ();
use Time::HiRes qw(sleep);

use HA::Relay;
use HA::Service;
use HA::Zerod;

use constant {NODES => 3, LEASE_MS => 5000};

# A start may be interrupted: what has begun is known from the first daemon on.
my @started;

# Starts it. Options: nodes => {id => {...}} has further keys of config.json's nodes; relay => 1 puts
# one between them; service => 0 for scripts that do nothing; serves as HA::Service has it.
sub new($class, $t, $name, %opt)
{
    my $service = ($opt{service} // 1) ? HA::Service->new($t, "$name-service", serves => $opt{serves}) : undef;
    my %nodes = map {$_ => {address => '127.0.0.1:' . $t->port, %{($opt{nodes} // {})->{$_} // {}}}} 0 .. NODES - 1;
    my @all = HA::Zerod->cluster(
        $t, $name,
        start => 0,
        config => {timeout => LEASE_MS, nodes => \%nodes},
        $service ? (service => $service) : ()
    );
    my $self = bless {t => $t, all => \@all, service => $service}, $class;
    $self->{relay} = HA::Relay->new($t, \@all) if $opt{relay};
    push @started, $self;
    $_->launch for @all;
    $self->leader;
    return $self;
}

sub all($self)     { return @{$self->{all}} }
sub service($self) { return $self->{service} }
sub relay($self)   { return $self->{relay} }

sub others($self, @not)
{
    return HA::Zerod::others(\@not, $self->all);
}

# Who leads, as soon as all that run agree on that.
sub leader($self) { return HA::Zerod::leader_of($self->all) }

# Who is active, once all are what they are to be.
sub settled($self)
{
    return HA::Zerod::settled($self->{service}, $self->all);
}

# Has this one lead.
sub hand_lead($self, $to)
{
    return HA::Zerod::hand_lead($to, $self->all);
}

# Starts who does not run, and waits until all is as it was.
sub mend($self)
{
    $_->launch for grep {!$_->running} $self->all;
    $self->leader;
    return $self->{service} ? $self->settled : undef;
}

# A command's line.
sub line($do, %fields)
{
    return JSON::PP->new->canonical->encode({ask => 'command', command => {do => $do, %fields}}) . "\n";
}

# Carries out commands that have to succeed, through whoever leads.
sub orders($self, @orders)
{
    my $leader = $self->leader;
    for my $order (@orders) {
        my $said = $leader->order(@$order) // 'no answer';
        die "@$order: $said\n" if $said !~ /^done /;
    }
    return;
}

# A connection of its own to a daemon's control socket; undef when nobody listens.
sub connection($zerod)
{
    my $socket = IO::Socket::UNIX->new(Peer => $zerod->data . '/control.sock') // return undef;
    $socket->autoflush;
    return $socket;
}

# All clusters that there are.
sub all_clusters($class) { return @started }

# Ends all clusters, and what their daemons would leave alone.
sub stop_all($class)
{
    for my $self (splice @started) {
        $_->end($self->{service}) for grep {$_->{pid}} $self->all;
    }
    return;
}

1;
