# SPDX-License-Identifier: Apache-2.0
# Owns the configuration of a lane with HAZone or without: as bench/compare's lane, and the last member is a
# spare that gets what the others cannot take.
package Bench::Contender::Zone;
use v5.36;

use JSON::PP qw(decode_json);

use HA::Client;

use Bench::Contender;

use parent -norequire, 'Bench::Contender::Httpd';

use constant TOKEN => 'measured-by-bench-zones';

# One that is not started. Options as Bench::Contender; nodes => [HA::Memcached] for those with memcached.
# Names: off, shm, memcached, and look, which is memcached with a look into the store for each request.
sub new($class, $t, $name, %opt)
{
    my $folder = $name . '-' . ++$t->{contenders};
    return bless {t => $t, name => $name, folder => $folder, threads => 64, idle => 0, %opt}, $class;
}

sub _balancer($self)
{
    return $self->SUPER::_balancer =~ s/(route=$self->{routes}[-1])$/$1 status=+H/mr;
}

sub _store($self)
{
    my $t = $self->{t};
    return 'store=shm' if $self->{name} eq 'shm';
    my $key = $t->write_file("$self->{folder}.key", sprintf("%064x\n", $$));
    chmod 0600, $key or die "$key: $!\n";
    my $recheck = $self->{name} eq 'look' ? ' recheck=0' : '';
    return 'store=memcached:' . join(',', map {$_->address} @{$self->{nodes}}) . " key=$key$recheck";
}

# The counters are on a port of their own.
sub _zone($self)
{
    my $t = $self->{t};
    my $token = $t->write_file("$self->{folder}.token", TOKEN . "\n");
    chmod 0600, $token or die "$token: $!\n";
    $self->{zones_port} = $t->port;
    return <<~"END";
        HAZone bench ${\$self->_store} token=$token
        Listen 127.0.0.1:$self->{zones_port}
        <VirtualHost 127.0.0.1:$self->{zones_port}>
            <Location "/zones">
                ProxyPass "!"
                SetHandler ha-zones
                Require ip 127.0.0.1
            </Location>
        </VirtualHost>
        END
}

sub _ours($self)
{
    my $zone = $self->{name} eq 'off' ? '' : $self->_zone;
    return "HABalancer bench\nHALane Require\n$zone";
}

sub _modules($self)
{
    return ($self->SUPER::_modules, 'authz_host');
}

# What it has counted since it was started: {put => n, ...}.
sub counters($self)
{
    my $client = HA::Client->new(port => $self->{zones_port});
    my $answer = $client->get('/zones/', headers => {Authorization => 'Bearer ' . TOKEN});
    die 'ha-zones: ' . $answer->status . ' ' . $answer->body . "\n" if $answer->status != 200;
    return decode_json($answer->body)->{counters};
}

1;
