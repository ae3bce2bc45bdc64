# SPDX-License-Identifier: Apache-2.0
# Owns what an operator does in mod_proxy's balancer-manager: reading its page, and posting its form
# with the nonce that the page gave out. Does not judge what comes of it.
package HA::Manager;
use v5.36;

use HA::Client;

# Options: path => where its location is, '/manager'; others as HA::Client takes them.
sub new($class, %opt)
{
    my $path = delete $opt{path} // '/manager';
    my $client = HA::Client->new(keep_alive => 0, cookies => 0, %opt);
    return bless {client => $client, path => $path}, $class;
}

# A request with the Referer that the manager asks for.
sub request($self, $method, $query = '', %opt)
{
    my $client = $self->{client};
    my @headers = (Referer => "http://$client->{host}$self->{path}", @{$opt{headers} // []});
    return $client->request($method, $self->{path} . $query, %opt, headers => \@headers);
}

sub page($self)
{
    return $self->request('GET')->body;
}

# The nonce that the links of a balancer carry; mod_proxy knows balancers in lower case.
sub nonce($self, $balancer)
{
    $balancer = lc $balancer;
    return $self->page =~ /[?&;]b=\Q$balancer\E&(?:amp;)?[^"]*nonce=([\w-]+)/ ? $1 : undef;
}

# The flags of a worker as its page has them, such as "Init Ign Drn Stby Ok".
sub flags($self, $balancer, $worker)
{
    $balancer = lc $balancer;
    my $cell = qr{</td>\s*<td>};
    my $row = qr{[?]b=\Q$balancer\E&amp;w=\Q$worker\E&[^>]*>[^<]*</a>(?:$cell[^<]*){4}$cell([^<]*)};
    return $self->page =~ $row ? $1 =~ s/\s+$//r : undef;
}

# Posts fields of a worker, such as w_status_D => 1. The response.
sub post($self, $balancer, $worker, %fields)
{
    my %all = (b => lc $balancer, w => $worker, nonce => $self->nonce($balancer), %fields);
    my $body = join '&', map {"$_=" . _escape($all{$_})} sort grep {defined $all{$_}} keys %all;
    return $self->request(
        'POST', '',
        body => $body,
        headers => ['Content-Type' => 'application/x-www-form-urlencoded']
    );
}

sub _escape($text)
{
    return $text =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger;
}

# What an operator tells a worker: drain => 1, disable => 1, standby => 1, or 0 to take it back.
sub tell($self, $balancer, $worker, $what, $on = 1)
{
    my %flags = (drain => 'N', disable => 'D', standby => 'H');
    my $flag = $flags{$what} // die "no such order: $what\n";
    my $response = $self->post($balancer, $worker, "w_status_$flag" => $on);
    die "balancer-manager answered @{[$response->status]}\n" if $response->status != 200;
    return;
}

1;
