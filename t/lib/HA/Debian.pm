# SPDX-License-Identifier: Apache-2.0
# Owns the distribution's /etc/apache2 as it is on a fresh system, in a folder of the test. Does not
# start it.
package HA::Debian;
use v5.36;

use Exporter qw(import);
use File::Path qw(make_path remove_tree);

use HA::Zero;

our @EXPORT_OK = qw(fresh_tree enable);

# The files of the package that is installed, if nobody edited it, or from apt. Their folder, in the
# current one; undef when there are none.
sub _files()
{
    my $is_there = qx(dpkg-query -W -f='\${Status}' apache2 2>/dev/null) =~ /installed$/;
    if ($is_there && qx(dpkg --verify apache2 2>&1) eq '') {
        return system('cp', '-rL', '/etc/apache2', 'etc') == 0 ? 'etc' : undef;
    }
    make_path('deb');
    my $got = system('cd deb && apt-get download apache2 >/dev/null 2>&1 && dpkg-deb -x apache2_*.deb .');
    return $got == 0 ? 'deb/etc/apache2' : undef;
}

# What a2enmod, a2enconf and a2ensite do: the files of these names, for "mods", "conf" or "sites".
sub enable($etc, $kind, @names)
{
    for my $name (map {$kind eq 'mods' ? ("$_.load", "$_.conf") : "$_.conf"} @names) {
        my $text = slurp("$etc/$kind-available/$name") // next;
        spew("$etc/$kind-enabled/$name", $text);
    }
    return;
}

# The tree as the package's scripts leave it on a fresh system, whatever was enabled here since: a
# folder in the current one. Undef when the package is neither here nor to be had.
sub fresh_tree()
{
    my $etc = _files() // return undef;
    for my $kind (qw(mods conf sites)) {
        remove_tree("$etc/$kind-enabled");
        make_path("$etc/$kind-enabled");
    }
    enable($etc, 'mods', qw(access_compat alias auth_basic authn_core authn_file authz_core authz_host authz_user
        autoindex deflate dir env filter mime mpm_event negotiation reqtimeout setenvif status));
    enable($etc, 'conf', qw(charset localized-error-pages other-vhosts-access-log security serve-cgi-bin));
    enable($etc, 'sites', '000-default');
    return $etc;
}

1;
