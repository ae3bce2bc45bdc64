# SPDX-License-Identifier: Apache-2.0
# Owns nginx's configuration: one worker, connections kept on both sides, bodies passed on as they
# come, sessions by a map from the cookie SRV to an upstream of one member.
package Bench::Contender::Nginx;
use v5.36;

use parent -norequire, 'Bench::Contender';

use constant {CONNECTIONS => 19000, KEPT_UPSTREAM => 512};

sub missing($self)
{
    return Bench::Contender::find_program('nginx')
        ? undef
        : 'nginx is not installed, see tools/setup --bench';
}

sub version($self)
{
    my $line = Bench::Contender::first_line(Bench::Contender::find_program('nginx') . ' -v');
    return $line =~ m{nginx/(\S+)} ? $1 : $line;
}

sub _upstream($name, @members)
{
    my $servers = join "\n        ", map {"server 127.0.0.1:$_;"} @members;
    return <<~"END";
        upstream $name {
            $servers
            keepalive ${\KEPT_UPSTREAM};
            keepalive_requests 1000000000;
            keepalive_timeout 600s;
        }
        END
}

sub _config($self)
{
    my ($t, $folder, $members, $routes) = @$self{qw(t folder members routes)};
    my $dir = $t->dir($folder);
    my ($user) = HA::Httpd->identity;
    my $user_line = $user ? "user $user;" : '';
    my $log = $self->{log} ? "access_log $dir/access.log common" : 'access_log off';
    my $upstreams = join '', _upstream('all', @$members),
        map { _upstream($routes->[$_], $members->[$_]) } 0 .. $#$members;
    my $map = join "\n        ", map {"$_ $_;"} @$routes;
    my $temporary = join "\n    ",
        map {"${_}_temp_path $dir/$_;"} qw(client_body proxy fastcgi uwsgi scgi);
    my $descriptors = Bench::Machine::descriptors();
    my $connections = $descriptors < CONNECTIONS ? $descriptors : CONNECTIONS;
    return <<~"END" =~ s/^UPSTREAMS\n/$upstreams/mr;
        daemon off;
        $user_line
        worker_processes 1;
        worker_rlimit_nofile $descriptors;
        pid $dir/nginx.pid;
        error_log $dir/error.log error;
        events {
            worker_connections $connections;
            use epoll;
        }
        http {
            $temporary
            log_format common '\$remote_addr - \$remote_user [\$time_local] '
                '"\$request" \$status \$body_bytes_sent';
            $log;
            keepalive_timeout 600s;
            keepalive_requests 1000000000;
            client_max_body_size 0;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$host;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
            proxy_request_buffering off;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 128k;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 600s;
            map_hash_bucket_size 128;
            map_hash_max_size 4096;
        UPSTREAMS
            map \$cookie_SRV \$where {
                default all;
                $map
            }
            server {
                listen 127.0.0.1:$self->{port} backlog=4096;
                location / {
                    proxy_pass http://\$where;
                }
            }
        }
        END
}

sub launch($self)
{
    my ($t, $folder) = @$self{qw(t folder)};
    my $dir = $t->dir($folder);
    mkdir $dir or die "$dir: $!\n";
    $self->{port} = $t->port;
    my $path = $t->write_file("$folder.conf", $self->_config);
    my $program = Bench::Contender::find_program('nginx');
    return $self->spawn_on_port($program, '-p', $dir, '-e', "$dir/error.log", '-c', $path);
}

1;
